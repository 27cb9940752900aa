"""What Jupyter and IPython get from `%load_ext circuitdsl`."""
