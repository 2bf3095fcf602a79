/* How a call is taken apart: options out of argv, arguments left, wrong calls refused with their code. */
#include "unit.h"

#include "cli/cli.h"

#include <sys/wait.h>
#include <unistd.h>

static const struct command sample = {
    .name = "sample",
    .usage = "sample A [B]",
    .options = {{"format", "F", ""}, {"follow", NULL, ""}, {"rate", "R", ""}},
};

static void test_options(void **state)
{
    (void)state;
    char words[][12] = {"sample",   "one", "--format", "--follow", "--rate=5",
                        "--format", "CSV", "--",       "--follow"};
    char *argv[10] = {0};
    for (int i = 0; i < 9; i++)
        argv[i] = words[i];
    struct cli cli = {.argc = 9, .argv = argv, .command = &sample};
    assert_false(cli_flag(&cli, "follow")); /* once a value, once behind "--" */
    assert_string_equal(cli_option(&cli, "rate"), "5");
    assert_string_equal(cli_option(&cli, "format"), "CSV"); /* the last wins */
    assert_null(cli_option(&cli, "format"));
    assert_true(cli_arguments(&cli, 1, 2));
    assert_int_equal(cli.argc, 3);
    assert_string_equal(cli.argv[1], "one");
    assert_string_equal(cli.argv[2], "--follow");
    assert_null(cli.argv[3]);
}

/* Runs a whole call in a child; its exit code, and stdout and stderr in text. */
static int call(char *text, size_t size, const char *const *words)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        char *argv[8] = {0};
        int argc = 0;
        for (; words[argc]; argc++)
            argv[argc] = mem_text(words[argc]);
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        int code = cli_main(argc, argv);
        fflush(NULL);
        _exit(code);
    }
    close(ends[1]);
    size_t len = 0;
    for (ssize_t n; len < size - 1 && (n = read(ends[0], text + len, size - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = '\0';
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_calls(void **state)
{
    (void)state;
    static const struct {
        const char *const words[6];
        int code;
        const char *says;
    } cases[] = {
        {{"millrace", "--help"}, CLI_OK, "millrace help COMMAND"},
        {{"millrace"}, CLI_USAGE, "millrace help COMMAND"},
        {{"millrace", "help", "config"}, CLI_OK, "millrace config [--docs]"},
        {{"millrace", "config", "-h"}, CLI_OK, "millrace config [--docs]"},
        {{"millrace", "help", "settings"}, CLI_OK, "--flush-ms"},
        {{"millrace", "confg"}, CLI_USAGE, "did you mean config?"},
        {{"millrace", "config", "--slott", "x"}, CLI_USAGE, "did you mean --slot?"},
        {{"millrace", "config", "--flush-ms", "x"}, CLI_USAGE, "whole number"},
        {{"millrace", "config", "extra"}, CLI_USAGE, "unexpected \"extra\""},
        {{"millrace", "--slot", "before", "config"}, CLI_OK, "slot = before\n"},
        {{"millrace", "config", "--listen", "0.0.0.0"}, CLI_CONFIG, "set a password"},
        {{"millrace", "version", "--failpoints"}, CLI_OK, "delta.after_link\n"},
        {{"millrace", "query", "--home", "/nowhere", "SELECT 1"}, CLI_CONFIG, "not a data folder"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[20000];
        int code = call(text, sizeof text, cases[i].words);
        if (code != cases[i].code || !strstr(text, cases[i].says))
            fail_msg("case %zu: %d: %s", i, code, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_calls),
    };
    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
