-- subjects whose evidence for a target lies most apart from the others' (mean mu of each)
WITH of_sequence AS (
  SELECT t.dataset, t.model, t.explain, sequence_id, target, count(mu) AS n, sum(1e0 * mu) AS total
  FROM detections AS t
  WHERE active
  GROUP BY t.dataset, t.model, t.explain, sequence_id, target
  HAVING count(mu) > 0),
of_subject AS (
  SELECT d.dataset, d.model, d.explain, d.target, coalesce(s.subject_id, s.sequence_id) AS subject, sum(d.n) AS n,
         sum(d.total) / sum(d.n) AS mu
  FROM of_sequence AS d
  JOIN sequences AS s
    ON d.dataset = s.dataset AND d.model = s.model AND d.explain = s.explain AND d.sequence_id = s.sequence_id
  GROUP BY d.dataset, d.model, d.explain, d.target, coalesce(s.subject_id, s.sequence_id)),
of_all AS (
  SELECT t.dataset, t.model, t.explain, target, count(*) AS subjects, sum(mu) AS total
  FROM of_subject AS t
  GROUP BY t.dataset, t.model, t.explain, target
  HAVING count(*) > 2),
apart AS (
  SELECT o.dataset, o.model, o.explain, o.target, o.subject, o.n, o.mu, a.subjects,
         (a.total - o.mu) / (a.subjects - 1) AS mu_of_others
  FROM of_subject AS o
  JOIN of_all AS a
    ON o.dataset = a.dataset AND o.model = a.model AND o.explain = a.explain AND o.target = a.target)
SELECT t.dataset, t.model, t.explain, target, subject, CAST(n AS BIGINT) AS n, round(mu, 3) AS mu,
       round(mu_of_others, 3) AS mu_of_others, round(mu - mu_of_others, 3) AS difference, subjects
FROM (SELECT t.dataset, t.model, t.explain, target, subject, n, mu, mu_of_others, subjects,
             row_number() OVER (PARTITION BY t.dataset, t.model, t.explain
                                ORDER BY abs(mu - mu_of_others) DESC, target, subject) AS nth
      FROM apart AS t) AS t
WHERE nth <= 20
ORDER BY 1, 2, 3, abs(mu - mu_of_others) DESC, target, subject
