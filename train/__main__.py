"""From flags to a run: `python -m train --recipe=… --data_dir=… --workdir=…`.

Help and the list of recipes come before TensorFlow is imported.
"""

import json
from typing import TYPE_CHECKING

from absl import flags

from keras_resnet import console
from train.command import flags as own, listing, usage

if TYPE_CHECKING:
    from train.command.job import Job

FLAGS = flags.FLAGS
HELP = console.Help(usage.text, own.ALIKE)


def main() -> None:
    if FLAGS.list_recipes:
        console.say(listing.table())
        return
    job = _job()
    if FLAGS.print_recipe:
        print(job.known_recipe().to_json())
        return
    if FLAGS.dry_run:
        from train.command import dry_run

        dry_run.run(job)
        return
    result = job.run()
    if result is not None:
        print(json.dumps(result))


def _job() -> "Job":
    """Imports what a run needs, which takes seconds, and returns the run."""
    console.import_keras("python -m train")
    from train.command.job import Job

    return Job()


if __name__ == "__main__":
    own.define()
    console.run(main, HELP)
