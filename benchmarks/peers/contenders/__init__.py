"""One module for each way to train: `contender(work, precision)` makes it. Each is imported in its
own process, for some need an environment of their own."""
