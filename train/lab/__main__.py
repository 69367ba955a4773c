"""An experiment of the papers: `python -m train.lab NAME --data_dir=… --workdir=…`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from keras_resnet import console
from train.lab import costs, figures, measuring, planned as planning, results, tables, training
from train.lab.experiment import Experiment
from train.lab.experiments import EXPERIMENTS
from train.lab.planned import Place, Planned, Schedule
from train.lab.results import Outcome
from train.recipes import validity
from train.run import choices, devices, interruption

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_bool("list", False, "List the experiments: what they show, their runs and images.")
    flags.DEFINE_bool(
        "dry_run", False, "Say which runs there are, how far they are, and what they cost."
    )
    flags.DEFINE_bool("summary", False, "Train nothing; write the results of what is there.")
    flags.DEFINE_string(
        "workdir",
        "runs",
        "Directory of the runs, each in a directory of its own. Experiments share runs; the same"
        " command trains those that are missing or unfinished.",
    )
    flags.DEFINE_string(
        "data_dir", None, "Directory of the data set. Default: that of TensorFlow Datasets."
    )
    flags.DEFINE_string("out", "results", "Directory for NAME.json and NAME.png.")
    flags.DEFINE_list("seeds", ["1"], "Seeds, separated by commas; each run is trained with each.")
    flags.DEFINE_list("only", [], "Names of the runs to train, separated by commas. Default: all.")
    flags.DEFINE_integer(
        "steps",
        None,
        "Steps of each run, with boundaries and warm-up in proportion. Default: the recipe's.",
        1,
    )
    flags.DEFINE_multi_string(
        "change",
        [],
        "FIELD=VALUE: a field that differs in all recipes, such as dataset=folder; repeatable.",
    )
    flags.DEFINE_integer("jobs", 1, "Number of runs that are trained at a time.", 1)
    flags.DEFINE_enum("precision", planning.FLOAT32, choices.PRECISIONS, "As of python -m train.")
    flags.DEFINE_enum("strategy", "one", choices.STRATEGIES, "As of python -m train.")
    flags.DEFINE_bool("jit_compile", False, "As of python -m train.")


def main(name: str = "") -> None:
    interruption.install()
    if FLAGS.list:
        console.say(listing())
        return
    experiment = _experiment(name)
    schedule = Schedule(FLAGS.steps, planning.parsed(FLAGS.change), FLAGS.precision)
    place = _place()
    every = planning.planned(experiment.runs, _seeds(), schedule, place.workdir)
    _check(every)
    asked = [one for one in every if one.run in experiment.chosen(tuple(FLAGS.only))]
    found = results.outcome(experiment, schedule, every, place)
    if FLAGS.dry_run:
        console.say(estimate(found, asked))
        return
    command = _command(name, schedule)
    if not FLAGS.summary:
        missing = [one for one in asked if one not in found.finished]
        training.train(missing, place, FLAGS.jobs)
        found = results.outcome(experiment, schedule, every, place)
    failed = measuring.measure(experiment, found.finished, place)
    interruption.over()
    values = _write(found, command)
    complete = all(one in found.finished for one in asked) and not failed
    for line in failed:
        print(line, file=sys.stderr)
    if not complete or not (FLAGS.only or values["complete"]):
        sys.exit(1)


def _experiment(name: str) -> Experiment:
    if name not in EXPERIMENTS:
        raise ValueError(
            f"experiment must be one of {', '.join(EXPERIMENTS)}, got {name!r}; see --list"
        )
    return EXPERIMENTS[name]


def _seeds() -> list[int]:
    try:
        seeds = [int(seed) for seed in FLAGS.seeds]
    except ValueError as error:
        raise ValueError(f"seeds must be integers, got {','.join(FLAGS.seeds)!r}") from error
    if not seeds or len({*seeds}) < len(seeds):
        raise ValueError(f"seeds must be different integers, got {','.join(FLAGS.seeds)!r}")
    return seeds


def _place() -> Place:
    strategy = [f"--strategy={FLAGS.strategy}"] if FLAGS.strategy != "one" else []
    compiled = ["--jit_compile"] if FLAGS.jit_compile else []
    # Absolute, since runs start in the root of the checkout.
    data_dir = FLAGS.data_dir and str(Path(FLAGS.data_dir).expanduser().absolute())
    workdir = Path(FLAGS.workdir).expanduser().absolute()
    return Place(workdir, data_dir, (*strategy, *compiled))


def _check(every: Sequence[Planned]) -> None:
    """Checks before the first run that all of them can be followed here."""
    replicas = devices.count(FLAGS.strategy, None)
    for one in every:
        validity.check(
            one.recipe,
            replicas=replicas,
            precision=FLAGS.precision,
            jit_compile=FLAGS.jit_compile,
        )


def _command(name: str, schedule: Schedule) -> str:
    seeds = [f"--seeds={','.join(FLAGS.seeds)}"]
    data = ["--data_dir=…"] if FLAGS.data_dir else []
    return planning.shown(
        ["-m", "train.lab", name, *schedule.flags, *seeds, *_place().flags, *data, "--workdir=…"]
    )


def _write(found: Outcome, command: str) -> tables.Summary:
    """Writes the results, and prints them as a table."""
    values = results.summary(found, command)
    folder = Path(FLAGS.out).expanduser()
    results.write(values, folder / f"{found.name}.json")
    figures.draw(found, folder / f"{found.name}.png")
    begun = [
        f"{one.run.name}, seed {one.seed}: {state.text}"
        for one, state in zip(found.planned, found.states, strict=True)
        if not state.finished
    ]
    for line in [*tables.table(values), *tables.claims(values), *begun]:
        console.say(line)
    console.say(f"{folder / found.name}.json and .png; schedule: {found.schedule.text}")
    return values


def listing() -> str:
    """Returns what each experiment shows, its runs, and how many images they train on."""
    lines = []
    for experiment in EXPERIMENTS.values():
        runs = planning.planned(experiment.runs, [1], Schedule(), Path())
        images = sum(costs.images(one) for one in runs)
        lines += [
            f"{experiment.name}: {experiment.shows}.",
            f"  runs: {', '.join(experiment.names)}",
            f"  cost: {len(runs)} runs, {images / 1e6:,.0f} million images a seed",
        ]
        lines += [f"  {experiment.note}"] if experiment.note else []
    return "\n".join(lines)


def estimate(found: Outcome, asked: Sequence[Planned]) -> str:
    """Returns the state and the cost of each run, with the speed that hours are computed from."""
    speed = costs.speed(asked, FLAGS.precision)
    states = dict(zip([one.workdir for one in found.planned], found.states, strict=True))
    costed = []
    hours = 0.0
    for one in asked:
        state = states[one.workdir]
        rest = speed.hours(one) * (1 - state.step / state.steps)
        hours += rest
        cells = (
            one.run.name,
            str(one.seed),
            state.text,
            f"{one.recipe.steps:,}",
            f"{costs.images(one):,}",
            f"{costs.multiply_adds(one.recipe) / 1e6:,.1f} M",
            f"{rest:,.1f}",
        )
        costed.append(cells)
    titles = ("run", "seed", "state", "steps", "images", "multiply-adds of an image", "hours")
    lines = tables.rows(titles, costed)
    lines.append(
        f"Hours that remain: {hours:,.1f} in all, of training steps alone, estimated from"
        f" {speed.images_per_second:,.1f} images/s of {speed.multiply_adds / 1e6:,.1f} M"
        f" multiply-adds ({speed.source}), in proportion to multiply-adds."
    )
    lines.append(f"Schedule: {found.schedule.text}.")
    return "\n".join(lines)


if __name__ == "__main__":
    define_flags()
    console.run(main, words=1)
