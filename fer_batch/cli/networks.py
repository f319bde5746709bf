"""Commands for networks that others published."""

from __future__ import annotations

import json

import click

from fer_batch.cli.group import Command, cli
from fer_batch.types import InputError


@cli.command(cls=Command)
@click.argument("name", required=False)
@click.option("--card", "weights", metavar="FILE", help="Write the card of NAME beside this weights file, if it fits.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def networks(name: str | None, weights: str | None, as_json: bool) -> None:
    """List published networks, or say everything of one: layout, input, outputs, faces, licence, and how to use it.

    Nothing is downloaded: the weights are a file that you have from the authors. A job names both, as in model: {known:
    enet_b0_8_best_vgaf, checkpoint: FILE}.
    """
    from fer_batch.pipeline.inspect.networks import known_networks, list_text, network_facts, network_text

    if weights is not None:
        if name is None:
            raise InputError(f"--card {weights}: name the network it is of; fer-batch networks lists them")
        from fer_batch.pipeline.weights import write_card

        click.echo(f"{weights} is a file of {name}: wrote {write_card(name, weights)}")
        return
    found = known_networks(name)
    if as_json:
        facts = [network_facts(record) for record in found]
        click.echo(json.dumps(facts if name is None else facts[0], indent=1))
        return
    click.echo(list_text(found) if name is None else network_text(found[0]))


@cli.command(cls=Command)
@click.argument("file")
@click.argument("out")
@click.option("--known", metavar="NAME", help="The published network that FILE is of: writes its card beside OUT too.")
@click.option("--key", help="Under which the tensors are, where FILE has several sets: ema, or model.ema.")
def convert(file: str, out: str, known: str | None, key: str | None) -> None:
    """Take the tensors out of a PyTorch FILE and write them as OUT.safetensors.

    FILE may be a whole pickled module or hold other objects, which a run refuses because unpickling runs code. Here
    nothing of it is run: whatever the file names becomes an empty object, and only tensors come out.
    """
    from fer_batch.pipeline.weights import convert as convert_file

    done = convert_file(file, out, key, known)
    click.echo(f"wrote {done.uri}: {done.n_values:,} values in {done.n_tensors} tensors, sha256 {done.digest}")
    if done.card is not None:
        click.echo(f"wrote {done.card}: it fits {known}; model: {{checkpoint: {done.uri}}} is all that a job needs")
