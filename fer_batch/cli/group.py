"""The group of commands, each with an example in its help."""

from __future__ import annotations

import click

from fer_batch import __version__

EXAMPLES = {
    "demo": "fer-batch demo --output demo",
    "run": "fer-batch run jobs/clips.yaml --set source.uri=my_videos --output out",
    "status": "fer-batch status out",
    "verify": "fer-batch verify out --repair && fer-batch run jobs/clips.yaml --set source.uri=my_videos --output out",
    "query": 'fer-batch query out "SELECT sequence_id, text FROM temporal_prototypes LIMIT 5"',
    "compare": 'fer-batch compare out S005/001 S010/002 "(NONE) -> (AU12_A)"',
    "report": "fer-batch report out",
    "evaluate": "fer-batch evaluate demo/out",
    "heatmaps": "fer-batch heatmaps --evaluate maps --masks masks --pretrained VGG16 --pretrained ResNet50",
    "train": "fer-batch train jobs/train_posed.yaml --output trained",
    "inspect": "fer-batch inspect my_videos",
    "networks": "fer-batch networks enet_b0_8_best_vgaf",
    "convert": "fer-batch convert enet_b2_8.pt enet_b2_8.safetensors --known enet_b2_8",
    "export": "fer-batch export out --to openface-csv out_openface",
    "publish": "fer-batch publish out --iceberg sqlite:///catalog.db",
    "retry": "fer-batch retry out && fer-batch run jobs/clips.yaml --set source.uri=my_videos --output out",
    "schemas": "fer-batch schemas --engine spark",
}


class Command(click.Command):
    """A command whose help ends with an example."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example as it would be typed."""
        with formatter.section("Example"):
            # One line, however long: a wrapped command cannot be copied.
            formatter.write(f"{'':{formatter.current_indent}}{EXAMPLES[self.name or '']}\n")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fer-batch")
def cli() -> None:
    """Explain facial-expression and Action-Unit networks over whole collections of face media.

    Start with `fer-batch demo`, then `fer-batch run jobs/clips.yaml --set source.uri=DIR --output OUT`.
    """


def with_red(text: str) -> str:
    """The same with inputs that lack something in red, which `click.echo` leaves out where it writes to no terminal."""
    named = tuple(f"{indent}{status} " for indent in ("  ", "    ") for status in ("failed", "partial"))
    return "\n".join(click.style(line, fg="red") if line.startswith(named) else line for line in text.splitlines())
