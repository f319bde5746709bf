-- which stage follows which, after what share of its occurrences that have a next, and how often with a frame missing
WITH counted AS (
  SELECT a.dataset, a.model, a.explain, a.text AS stage, b.text AS next_stage, count(*) AS times,
         sum(CASE WHEN coalesce(a.n_missing_frames, 0) > 0 THEN 1 ELSE 0 END) AS with_gaps,
         count(DISTINCT a.sequence_id) AS sequences
  FROM stages AS a
  JOIN stages AS b
    ON a.dataset = b.dataset AND a.model = b.model AND a.explain = b.explain AND a.sequence_id = b.sequence_id
       AND b.stage_index = a.stage_index + 1
  GROUP BY a.dataset, a.model, a.explain, a.text, b.text),
ranked AS (
  SELECT t.dataset, t.model, t.explain, stage, next_stage, times, with_gaps, sequences,
         sum(times) OVER (PARTITION BY t.dataset, t.model, t.explain, stage) AS left_stage,
         row_number() OVER (PARTITION BY t.dataset, t.model, t.explain ORDER BY times DESC, stage, next_stage) AS nth
  FROM counted AS t)
SELECT t.dataset, t.model, t.explain, stage, next_stage, times, sequences, round(1e0 * times / left_stage, 3) AS share,
       CAST(with_gaps AS BIGINT) AS with_gaps
FROM ranked AS t
WHERE nth <= 20
ORDER BY 1, 2, 3, times DESC, stage, next_stage
