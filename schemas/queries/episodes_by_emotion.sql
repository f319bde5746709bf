-- commonest episodes of each emotion, by what is active, with the share of its sequences that have the episode
WITH of_emotion AS (
  SELECT t.dataset, t.model, t.explain, emotion, count(*) AS n
  FROM temporal_prototypes AS t
  WHERE n_frames > 0
  GROUP BY t.dataset, t.model, t.explain, emotion),
counted AS (
  SELECT t.dataset, t.model, t.explain, emotion, cooccurrence_text AS episode, count(DISTINCT sequence_id) AS sequences,
         count(*) AS episodes, round(avg(duration_s), 2) AS mean_s
  FROM episodes AS t
  GROUP BY t.dataset, t.model, t.explain, emotion, cooccurrence_text),
ranked AS (
  SELECT t.dataset, t.model, t.explain, emotion, episode, sequences, episodes, mean_s,
         row_number() OVER (PARTITION BY t.dataset, t.model, t.explain, emotion
                            ORDER BY sequences DESC, episodes DESC, episode) AS nth
  FROM counted AS t)
SELECT r.dataset, r.model, r.explain, r.emotion, r.episode, r.sequences,
       round(1e0 * r.sequences / o.n, 3) AS share, r.episodes, r.mean_s
FROM ranked AS r
JOIN of_emotion AS o ON r.dataset = o.dataset AND r.model = o.model AND r.explain = o.explain AND r.emotion = o.emotion
WHERE r.nth <= 10
ORDER BY 1, 2, 3, emotion, sequences DESC, episodes DESC, episode
