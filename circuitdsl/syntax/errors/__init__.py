"""Every syntax error of a text, found together and explained."""
