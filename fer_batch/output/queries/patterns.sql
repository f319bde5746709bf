-- what the temporal prototypes of each emotion have in common, most typical first
WITH labelled AS (
  SELECT t.dataset, t.model, t.explain, "group", mined, kind, pattern, length, support, lift, p_value, q_value,
         coalesce(labels, CASE WHEN NOT letters THEN 'targets' ELSE 'letters' END) AS labels
  FROM patterns AS t
  WHERE closed AND length > 1 AND replace(replace(pattern, '(NONE)', ''), ' -> ', '') <> '')
SELECT t.dataset, t.model, t.explain, "group", mined, labels, kind, pattern, support, lift, p_value, q_value
FROM (SELECT t.dataset, t.model, t.explain, "group", mined, labels, kind, pattern, support,
             round(lift, 2) AS lift, p_value, q_value, length,
             row_number() OVER (PARTITION BY t.dataset, t.model, t.explain, "group", mined, labels, kind
                                ORDER BY coalesce(q_value, 1), support DESC, length DESC, pattern) AS nth
      FROM labelled AS t) AS t
WHERE nth <= 10
ORDER BY 1, 2, 3, "group", mined, labels, kind, coalesce(q_value, 1), support DESC, length DESC, pattern
