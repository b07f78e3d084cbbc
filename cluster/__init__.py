"""From the command line to the cluster: settings, sample order, training, checkpoints, reports."""
