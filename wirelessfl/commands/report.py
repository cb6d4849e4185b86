"""``wirelessfl report``."""

from wirelessfl.commands.arguments import Commands


def add(commands: Commands) -> None:
    """Add it to the command line."""
