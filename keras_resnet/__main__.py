"""`python -m keras_resnet` is the command `keras-resnet`: see `command.entry`."""

from keras_resnet.command import entry

if __name__ == "__main__":
    entry.main()
