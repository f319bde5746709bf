-- how long the commonest stages last (from first frame to last in s), without the with_gaps that miss a frame
WITH timed AS (
  SELECT s.dataset, s.model, s.explain, s.text AS stage, s.sequence_id,
         CASE WHEN coalesce(s.n_missing_frames, 0) > 0 THEN 1 ELSE 0 END AS gaps,
         CASE WHEN coalesce(s.n_missing_frames, 0) = 0 THEN s.n_frames END AS n_frames,
         CASE WHEN coalesce(s.n_missing_frames, 0) = 0 THEN 1e-9 * (z.timestamp_ns - a.timestamp_ns) END AS seconds
  FROM stages AS s
  LEFT JOIN frames AS a
    ON s.dataset = a.dataset AND s.model = a.model AND s.explain = a.explain AND s.sequence_id = a.sequence_id
       AND s.first_frame = a.frame_index
  LEFT JOIN frames AS z
    ON s.dataset = z.dataset AND s.model = z.model AND s.explain = z.explain AND s.sequence_id = z.sequence_id
       AND s.last_frame = z.frame_index),
counted AS (
  SELECT t.dataset, t.model, t.explain, stage, count(*) AS times, sum(gaps) AS with_gaps,
         count(DISTINCT sequence_id) AS sequences, round(avg(n_frames), 1) AS mean_frames, min(n_frames) AS shortest,
         max(n_frames) AS longest, round(avg(seconds), 2) AS mean_s
  FROM timed AS t
  GROUP BY t.dataset, t.model, t.explain, stage)
SELECT t.dataset, t.model, t.explain, stage, times, CAST(with_gaps AS BIGINT) AS with_gaps, sequences, mean_frames,
       shortest, longest, mean_s
FROM (SELECT t.dataset, t.model, t.explain, stage, times, with_gaps, sequences, mean_frames, shortest, longest, mean_s,
             row_number() OVER (PARTITION BY t.dataset, t.model, t.explain ORDER BY times DESC, stage) AS nth
      FROM counted AS t) AS t
WHERE nth <= 20
ORDER BY 1, 2, 3, times DESC, stage
