"""Resident memory and number of files over time under a steady load of BENCH_CHANGES_PER_S row changes a second
(purchases of 4 rows) for BENCH_SECONDS, one sample every BENCH_SAMPLE_S. The slope is fitted to the second half
(Theil-Sen: the median of all pairwise slopes), when caches have filled; a short run says little about it."""

import itertools
import statistics
import time

import measure

CHANGES_PER_S = measure.setting("BENCH_CHANGES_PER_S", 200.0)
SECONDS = measure.setting("BENCH_SECONDS", 600.0)
SAMPLE_S = measure.setting("BENCH_SAMPLE_S", 5.0)


def slope_per_hour(samples):
    pairs = itertools.combinations(samples, 2)
    return 3600 * statistics.median((v - u) / (t - s) for (s, u), (t, v) in pairs)


def main():
    memory, files = [], []
    with measure.shop() as (database, program):
        program.start()
        program.caught_up(300)
        purchases = measure.Purchases(database, CHANGES_PER_S / measure.CHANGES_OF_A_PURCHASE, SECONDS)
        began = time.monotonic()
        purchases.start()
        while purchases.running() and program.alive():
            at = time.monotonic() - began
            memory.append((at, measure.memory_mb(program.process.pid)[0]))
            files.append((at, measure.file_count(program.home)))
            measure.say(f"t={at:.0f}s rss={memory[-1][1]:.0f}MB files={files[-1][1]} sent={purchases.sent}")
            time.sleep(SAMPLE_S)
        program.caught_up(300)
        highest = measure.memory_mb(program.process.pid)[1]
        program.stop()
    half = len(memory) // 2
    measure.result("rss: at the end", memory[-1][1], "MB", mark=512)
    measure.result("rss: highest", highest, "MB", mark=512)
    measure.result("rss: slope of the second half", slope_per_hour(memory[half:]), "MB/h", 1)
    measure.result("rss: files at the end", files[-1][1], "files")
    measure.result("rss: slope of files, second half", slope_per_hour(files[half:]), "files/h")


if __name__ == "__main__":
    main()
