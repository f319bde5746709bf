-- runs, newest first
SELECT t.dataset, t.model, t.explain, run_id, started_at, finished_at, counts, n_explained, n_unconserved,
       conservation_median
FROM runs AS t
ORDER BY started_at DESC
