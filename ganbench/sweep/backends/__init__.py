"""The backends that ganbench brings: this process, processes of this machine, SLURM."""
