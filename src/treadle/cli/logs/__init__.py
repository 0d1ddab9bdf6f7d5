"""`treadle log ...`: a file for each subcommand."""
