"""What a shell is told when TAB is pressed."""
