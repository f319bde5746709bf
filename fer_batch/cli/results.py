"""Commands that draw, measure and export what an output holds."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import click

from fer_batch.cli.group import Command, cli
from fer_batch.types import STATUSES, InputError

if TYPE_CHECKING:
    from fer_batch.storage.parquet import Partition
    from fer_batch.storage.store import Store


@cli.command(cls=Command)
@click.argument("out")
@click.option("--figures", multiple=True, metavar="SEQUENCE", help="Only draw this sequence's figures, for print.")
@click.option("--normalise", help="one_sided, or two_sided: positive and negative relevance each to its own maximum.")
@click.option("--colours", help="bwr, or jet from a map's lowest value to its highest.")
@click.option("--top-x", type=float, metavar="PERCENT", help="Of the positive relevance in Top-X projections.")
def report(out: str, figures: tuple[str, ...], **look: str | float | None) -> None:
    """Draw the report pages again from the tables, where these changed.

    Maps look as section `report` of the job says (one_sided, bwr, 25) unless an option says otherwise.
    """
    from fer_batch.pipeline.report.write import processes, write_figures
    from fer_batch.pipeline.stages import draw_report
    from fer_batch.storage.store import Store
    from fer_batch.types import MapStyle

    store = Store(out)
    given = {name: value for name, value in look.items() if value is not None}
    maps = MapStyle(**given) if given else None  # type: ignore[arg-type]
    drawn = _drawable(store, out)
    if figures:
        click.echo("\n".join(write_figures(store, figures, maps)))
        return
    for part in drawn:
        click.echo(draw_report(store, part.dataset, part.model, part.explain, compute=processes(), maps=maps))


def _drawable(store: Store, out: str) -> list[Partition]:
    """Partitions that have pages: not those of a training, nor of a run that did not get as far as its tables."""
    from fer_batch.output.status import status as read_status
    from fer_batch.storage.parquet import Partition

    everything = read_status(store)["partitions"]
    parts = [part for part in everything if part["explain"] != "none"]
    drawn = [part for part in parts if sum(part[status] for status in STATUSES)]
    if everything and not parts:
        raise InputError(
            f"{out!r} holds a training, which has no pages; its figures: fer-batch evaluate {shlex.quote(out)}"
        )
    if not drawn:
        raise InputError(f"{out!r} has no published tables yet; run the job first")
    return [Partition(part["dataset"], part["model"], part["explain"]) for part in drawn]


@cli.command(cls=Command)
@click.argument("out")
@click.option("--repair", "mends", is_flag=True, help="Move what is wrong into OUT/_quarantine; run makes it again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(context: click.Context, out: str, mends: bool, as_json: bool) -> None:
    """Check that an output still is what was published: one line a finding, exit code 1 where there is one.

    Every marker has its files and every file its marker; rows, digests and schemas are those of publication; rows that
    others refer to are there. It reads every file once. With --repair the exit code is 0 once all is set aside. No
    run may go on in OUT meanwhile.
    """
    from fer_batch.output import verify as check
    from fer_batch.storage.store import Store

    store = Store(out)
    if mends:
        checked, aside, left = check.repair(store)
    else:
        checked, aside = check.verify(store), None
        left = checked.findings
    shown = check.verify_json(store, checked, aside) if as_json else check.verify_text(store, checked, aside)
    click.echo(json.dumps(shown) if as_json else shown)
    context.exit(1 if left else 0)


@cli.command(cls=Command)
@click.argument("out")
@click.option("--published", is_flag=True, help="Set every published figure beside, whatever the data set.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(out: str, published: bool, as_json: bool) -> None:
    """Compare detections with annotations, and relevance with regions; writes table `evaluation` and the verdicts."""
    from fer_batch.pipeline.partition.evaluation import evaluate_output
    from fer_batch.pipeline.partition.evaluation_text import evaluation_json, evaluation_text
    from fer_batch.pipeline.report.navigation import VERDICT
    from fer_batch.pipeline.report.write import write_page
    from fer_batch.storage.store import Store

    store = Store(out)
    results = evaluate_output(store)
    pages = [write_page(store, result.partition, VERDICT) for result in results]
    if as_json:
        click.echo(json.dumps(evaluation_json(results, pages, published)))
        return
    click.echo(evaluation_text(results, published))
    for page in filter(None, pages):
        click.echo(f"verdict {page}")


@cli.command(cls=Command)
@click.argument("out", required=False)
@click.option(
    "--compare", "groups", nargs=2, metavar="A B", help="Test where maps of two groups differ; SQL conditions."
)
@click.option("--people", metavar="FILE", help="CSV or Parquet with subject_id: its columns tell groups too.")
@click.option("--evaluate", "maps", metavar="FOLDER", help="Grey PNG heatmaps on the standard face.")
@click.option("--masks", metavar="FOLDER", help="Black and white PNG masks, named by expression.")
@click.option("--pretrained", multiple=True, metavar="NETWORK", help="A network that was pretrained; repeat for more.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, which has every correlation.")
def heatmaps(
    out: str | None,
    groups: tuple[str, str] | None,
    people: str | None,
    maps: str | None,
    masks: str | None,
    pretrained: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compare heatmaps on the standard face: those of files with masks and among each other, or two groups of OUT.

    With --evaluate, masks are named by expression: anger.png. The path of a heatmap holds the expression and the
    network: anger/ResNet50.png, ResNet50/anger.png or ResNet50_Anger_heatmap.png; words that all files share (heatmap)
    do not count. Prints intersection over union, precision, recall and F1 of the maps above their Otsu threshold, and
    for each expression the average-linkage dendrogram of the networks.

    With --compare, groups are conditions over the maps of an output: --compare "correct" "NOT correct", or
    "night = '2026-05-01'" "night = '2026-05-02'". What the manifest of the runs, or the file of --people, says of
    people (age, sex) can be used as well. A permutation test of people, corrected over all pixels, says where they
    differ; the picture is written into OUT.
    """
    if out and groups and not (maps or masks or pretrained):
        _compare_groups(out, *groups, people, as_json)
        return
    if out or groups or people or not (maps and masks):
        raise InputError("give --evaluate FOLDER and --masks FOLDER, or an output and --compare A B")
    from fer_batch.pipeline.partition.heatmap_files import read_heatmaps
    from fer_batch.pipeline.partition.heatmap_scores import heatmap_json, heatmap_scores, heatmap_text

    found = heatmap_scores(read_heatmaps(maps, masks), pretrained)
    click.echo(json.dumps(heatmap_json(found)) if as_json else heatmap_text(found))


def _compare_groups(out: str, a: str, b: str, people: str | None, as_json: bool) -> None:
    from fer_batch.pipeline.partition.heatmap_difference import difference_json, difference_text, write_difference
    from fer_batch.pipeline.partition.heatmap_groups import compare_groups
    from fer_batch.pipeline.report.navigation import HEATMAPS, folder_of
    from fer_batch.pipeline.report.write import write_page
    from fer_batch.storage.store import Store

    store = Store(out)
    found = compare_groups(store, a, b, people=people)
    picture = write_difference(store, found)
    for partition in sorted(found.a.partitions | found.b.partitions, key=str):
        if store.exists(f"{folder_of(partition)}/index.html"):
            write_page(store, partition, HEATMAPS)
    click.echo(json.dumps(difference_json(found, picture)) if as_json else difference_text(found, picture))


@cli.command(cls=Command)
@click.argument("out")
@click.option("--to", required=True, metavar="FORMAT", help="openface-csv or virelay.")
@click.argument("folder", metavar="DIR")
def export(out: str, to: str, folder: str) -> None:
    """Write an output in the format of another tool into DIR.

    openface-csv: one CSV a sequence, with OpenFace 2's names for every column that has a source. virelay: projects
    that ViRelAy opens, of the prototypes and their maps.
    """
    from fer_batch.pipeline.export.write import export_output

    click.echo("\n".join(export_output(out, to, folder)))


@cli.command(cls=Command)
@click.argument("out")
@click.option("--iceberg", "catalogue", required=True, metavar="CATALOG", help="URI of a catalogue, or its name.")
@click.option("--namespace", default="fer_batch", show_default=True, help="Of the tables; one for each output.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def publish(out: str, catalogue: str, namespace: str, as_json: bool) -> None:
    """Register the published files in Iceberg tables, one snapshot a table that changed; nothing is copied.

    CATALOG is sqlite:///FILE, postgresql://..., https://... (REST), or a name of PyIceberg's configuration.
    """
    from fer_batch.output import iceberg
    from fer_batch.storage.store import Store

    found = iceberg.publish(Store(out), catalogue, namespace)
    click.echo(json.dumps(iceberg.registered_json(found)) if as_json else iceberg.registered_text(found))
