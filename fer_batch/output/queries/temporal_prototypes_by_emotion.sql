-- commonest temporal prototypes of each emotion, by active targets, with the share of its sequences
WITH counted AS (
  SELECT t.dataset, t.model, t.explain, emotion, cooccurrence_text, count(*) AS sequences,
         count(DISTINCT subject_id) AS subjects, avg(n_frames) AS mean_frames
  FROM temporal_prototypes AS t
  WHERE n_frames > 0 AND emotion IS NOT NULL
  GROUP BY t.dataset, t.model, t.explain, emotion, cooccurrence_text),
ranked AS (
  SELECT t.dataset, t.model, t.explain, emotion, cooccurrence_text, sequences, subjects, mean_frames,
         sum(sequences) OVER (PARTITION BY t.dataset, t.model, t.explain, emotion) AS of_emotion,
         row_number() OVER (PARTITION BY t.dataset, t.model, t.explain, emotion
                            ORDER BY sequences DESC, cooccurrence_text) AS nth
  FROM counted AS t)
SELECT t.dataset, t.model, t.explain, emotion, cooccurrence_text AS temporal_prototype, sequences,
       round(1e0 * sequences / of_emotion, 3) AS share, subjects, round(mean_frames, 1) AS mean_frames
FROM ranked AS t
WHERE nth <= 10
ORDER BY 1, 2, 3, emotion, sequences DESC, temporal_prototype
