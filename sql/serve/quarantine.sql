SELECT `table`, key, reason, image, toString(commit_at) AS commit_at, toString(first_seen) AS first_seen
  FROM silver.quarantine ORDER BY first_seen DESC, `table`, key LIMIT 100
