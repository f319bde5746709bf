-- figures beyond their control limits (fer-batch nightly), first where a network looks elsewhere while it stays sure
SELECT t.dataset, t.model, t.explain, alarm, started_at, run_id, figure, target, look, state, round(value, 3) AS value,
       round(low, 3) AS low, round(high, 3) AS high, round(centre, 3) AS centre, round(lower, 3) AS lower_limit,
       round(upper, 3) AS upper_limit, round(smoothed, 3) AS smoothed, n, n_subjects
FROM drift AS t
WHERE alarm IS NOT NULL
ORDER BY 1, 2, 3, alarm DESC, started_at DESC, run_id, figure, target, look
