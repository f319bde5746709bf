-- commonest episodes, by what is active
WITH counted AS (
  SELECT t.dataset, t.model, t.explain, cooccurrence_text AS episode, count(DISTINCT sequence_id) AS sequences,
         count(*) AS episodes, round(avg(n_frames), 1) AS mean_frames, round(avg(duration_s), 2) AS mean_s
  FROM episodes AS t
  GROUP BY t.dataset, t.model, t.explain, cooccurrence_text)
SELECT t.dataset, t.model, t.explain, episode, sequences, episodes, mean_frames, mean_s
FROM (SELECT t.dataset, t.model, t.explain, episode, sequences, episodes, mean_frames, mean_s,
             row_number() OVER (PARTITION BY t.dataset, t.model, t.explain
                                ORDER BY sequences DESC, episodes DESC, episode) AS nth
      FROM counted AS t) AS t
WHERE nth <= 20
ORDER BY 1, 2, 3, sequences DESC, episodes DESC, episode
