-- commonest temporal prototypes
SELECT t.dataset, t.model, t.explain, text, sequences, mean_frames, mean_reduction
FROM (SELECT t.dataset, t.model, t.explain, text, count(*) AS sequences, round(avg(n_frames), 1) AS mean_frames,
             round(avg(reduction), 3) AS mean_reduction,
             row_number() OVER (PARTITION BY t.dataset, t.model, t.explain ORDER BY count(*) DESC, text) AS nth
      FROM temporal_prototypes AS t
      WHERE n_frames > 0
      GROUP BY t.dataset, t.model, t.explain, text) AS t
WHERE nth <= 20
ORDER BY 1, 2, 3, sequences DESC, text
