"""Where data come from: sets known by name, and files and arrays of the user's own. Nothing here knows a circuit."""
