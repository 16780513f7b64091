"""Pages in HTML, each one file without addresses outside it, that show a run or an evaluation."""
