-- how active each target is and where its evidence lies, run after run
WITH of_sequence AS (
  SELECT t.dataset, t.model, t.explain, sequence_id, target, count(*) AS frames,
         count(CASE WHEN active THEN 1 END) AS active_frames, sum(1e0 * probability) AS probability,
         count(CASE WHEN active AND mu IS NOT NULL THEN 1 END) AS n_mu, sum(CASE WHEN active THEN 1e0 * mu END) AS mu
  FROM detections AS t
  GROUP BY t.dataset, t.model, t.explain, sequence_id, target),
of_run AS (
  SELECT d.dataset, d.model, d.explain, d.target, r.started_at, r.run_id, count(*) AS sequences,
         sum(d.frames) AS frames, 1e0 * sum(d.active_frames) / sum(d.frames) AS active_share,
         sum(d.probability) / sum(d.frames) AS probability,
         CASE WHEN sum(d.n_mu) > 0 THEN sum(d.mu) / sum(d.n_mu) END AS mu
  FROM of_sequence AS d
  JOIN sequences AS s
    ON d.dataset = s.dataset AND d.model = s.model AND d.explain = s.explain AND d.sequence_id = s.sequence_id
  JOIN runs AS r ON s.dataset = r.dataset AND s.model = r.model AND s.explain = r.explain AND s.run_id = r.run_id
  GROUP BY d.dataset, d.model, d.explain, d.target, r.started_at, r.run_id),
beside AS (
  SELECT t.dataset, t.model, t.explain, target, started_at, run_id, sequences, frames, active_share, probability, mu,
         lag(active_share) OVER (PARTITION BY t.dataset, t.model, t.explain, target
                                 ORDER BY started_at, run_id) AS active_before,
         lag(mu) OVER (PARTITION BY t.dataset, t.model, t.explain, target ORDER BY started_at, run_id) AS mu_before
  FROM of_run AS t)
SELECT t.dataset, t.model, t.explain, target, started_at, run_id, sequences, CAST(frames AS BIGINT) AS frames,
       round(active_share, 3) AS active_share, round(active_share - active_before, 3) AS active_change,
       round(probability, 3) AS probability, round(mu, 3) AS mu, round(mu - mu_before, 3) AS mu_change
FROM beside AS t
ORDER BY 1, 2, 3, target, started_at, run_id
