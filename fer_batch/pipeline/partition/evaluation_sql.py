"""What an evaluation asks the tables of one partition: DuckDB sums up, so memory does not grow with the rows.

Parameters are `$dataset`, `$model`, `$explain`, and in some `$names` (all targets), `$annotated` (those with a known
truth), `$n_annotated` (how many) or `$left_out` (subjects, and inputs without one, that do not count). Decimal sums are
exact: they do not depend on the order in which threads meet the rows. What is true of a frame is in the view `labels`,
which `labels_view` makes of a job's rule.
"""

from __future__ import annotations

from fer_batch.facs import OccurrenceRule
from fer_batch.types import READ

PARTITION = "dataset = $dataset AND model = $model AND explain = $explain"

TRUTH = """
    SELECT sequence_id, frame_index, target, bool_or(occurs) AS truth
    FROM labels WHERE dataset = $dataset GROUP BY ALL
"""
JUDGED = f"""
    SELECT d.*, truth FROM (SELECT * FROM detections WHERE {PARTITION}) d
    LEFT JOIN ({TRUTH}) USING (sequence_id, frame_index, target)
"""
SETS = f"""
    SELECT count(*) FILTER (n_known > 0), count(*) FILTER (n_known = $n_annotated),
           count(*) FILTER (n_known = $n_annotated AND all_right)
    FROM (
        SELECT count(truth) AS n_known, bool_and(active = truth) AS all_right
        FROM ({JUDGED}) GROUP BY sequence_id, frame_index
    )
"""
CLASSES = f"""
    SELECT t.target, p.target, count(*)
    FROM (
        SELECT sequence_id, frame_index, min(target) AS target FROM ({TRUTH})
        WHERE truth AND list_contains($names, target) GROUP BY ALL
    ) t JOIN detections p USING (sequence_id, frame_index)
    WHERE {PARTITION} AND p.active AND sequence_id NOT IN (
        SELECT sequence_id FROM sequences
        WHERE {PARTITION} AND coalesce(subject_id, sequence_id) IN (SELECT unnest($left_out::VARCHAR[]))
    ) GROUP BY ALL
"""


def labels_view(rule: OccurrenceRule) -> str:
    """Statement that makes `labels`: table `annotations`, and whether each says that its target occurs."""
    return f"CREATE OR REPLACE TEMP VIEW labels AS SELECT *, {rule.sql} AS occurs FROM annotations"


def _sums(condition: str) -> str:
    """Frames, those with a mu, and the sums of mu, of the region's share and of their quotient."""
    return f"""
           count(*) FILTER ({condition}), count(mu) FILTER ({condition}),
           sum(mu::DECIMAL(18, 12)) FILTER ({condition})::DOUBLE,
           sum(region_share::DECIMAL(18, 12)) FILTER ({condition} AND mu IS NOT NULL)::DOUBLE,
           sum((mu / region_share)::DECIMAL(18, 9)) FILTER ({condition})::DOUBLE"""


# By subject, or by sequence where it is not known: right and wrong frames, then what the true positives and all
# detections have in their regions. All in one pass, as the join is what takes time.
SUBJECTS = f"""
    SELECT target, subject_id, min(sequence_id), max(regions_version), count(truth),
           count(*) FILTER (active AND truth), count(*) FILTER (active AND NOT truth),
           count(*) FILTER (NOT active AND truth),{_sums("active AND truth")},{_sums("active")}
    FROM ({JUDGED}) LEFT JOIN (
        SELECT sequence_id, subject_id FROM sequences WHERE {PARTITION}
    ) USING (sequence_id)
    GROUP BY target, subject_id, CASE WHEN subject_id IS NULL THEN sequence_id END
    ORDER BY target, subject_id, min(sequence_id)
"""
# The frames whose evidence is judged: true positives, or all detections of a target that is not annotated here.
EVIDENCE = f"""
    SELECT target, sequence_id, frame_index, mu, conservation FROM ({JUDGED})
    WHERE active AND (truth OR NOT list_contains($annotated, target))
"""
# The frames of lowest and highest mu, among those whose map was kept; of equals the first by name.
EXAMPLES = f"""
    SELECT target, count(*), min((mu, sequence_id, frame_index)), min((-mu, sequence_id, frame_index))
    FROM (
        SELECT * FROM ({EVIDENCE}) SEMI JOIN (
            SELECT sequence_id, frame_index, target FROM relevance WHERE {PARTITION}
        ) USING (sequence_id, frame_index, target)
        WHERE mu IS NOT NULL
    ) GROUP BY target ORDER BY target
"""

# Labels that an intensity decides, of targets that the network knows.
GRADED = f"""
    SELECT count(*) FROM labels WHERE dataset = $dataset AND occurs IS DISTINCT FROM occurrence
    AND target IN (SELECT DISTINCT target FROM detections WHERE {PARTITION})
"""

# Frames of the inputs that are judged, by what became of them.
FRAMES = f"""
    SELECT status, count(*) FROM frames SEMI JOIN (
        SELECT sequence_id FROM sequences WHERE {PARTITION} AND status IN {READ}
    ) USING (sequence_id)
    WHERE {PARTITION} GROUP BY status ORDER BY status
"""

# What a cross-validation left: F1 of each fold on its own test part. An undefined F1 counts in no mean.
FOLDS = f"""
    SELECT target, avg(value), count(value), count(DISTINCT fold) FROM evaluation
    WHERE {PARTITION} AND metric = 'f1' AND fold IS NOT NULL AND target IS NOT NULL AND "group" IS NULL
    AND coalesce(split, 'test') = 'test'
    GROUP BY target ORDER BY target
"""
