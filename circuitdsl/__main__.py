"""`python -m circuitdsl` is `circuitdsl`."""

from circuitdsl.cli.main import main

main()
