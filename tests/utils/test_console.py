"""Tests what is shown in a log file, and that a library stays silent."""

from vgg_keras.utils import console
from vgg_keras.utils.display import ShownTable


def test_progress_in_a_log_file_is_made_of_lines(capsys, monkeypatch):
    monkeypatch.setattr(console, "_LOG_INTERVAL", 0.0)
    with console.speaking(True), console.progress_bar("photos", 3, " photos") as bar:
        for _ in range(3):
            bar.last_print_t = 0.0  # long ago
            bar.update()
    written = capsys.readouterr().err
    assert "\r" not in written
    assert "\n\n" not in written
    assert [line.split(",")[0] for line in written.splitlines()] == [f"photos: {n} of 3 photos" for n in range(4)]


def test_a_rate_below_one_a_second_is_told_by_the_second(capsys):
    with console.speaking(True), console.progress_bar("photos", 3, " photos") as bar:
        bar.n, bar.start_t = 1, bar.start_t - 100
    assert capsys.readouterr().err == "photos: 1 of 3 photos, 01:40,  0.01 photos/s\n"


def test_a_short_job_writes_one_line(capsys):
    with console.speaking(True):
        with console.progress_bar("photos", 2, " photos") as bar:
            bar.update(2)
        with console.progress_bar("labels", 2, " images", leave=False) as bar:
            bar.update(2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("photos: 2 of 2 photos, 00:00, ")


def test_messages_leave_progress_alone(capsys):
    with console.speaking(True), console.progress_bar("photos", 2, " photos", leave=False):
        console.say("a message")
    assert capsys.readouterr() == ("a message\n", "")


def test_no_terminal_obeys_a_name(capsys):
    name = "\x1b[2J[/b][red]\r:smile:"
    with console.speaking(True):
        console.say(f"{name}\nsecond line")
        console.warn(f"{name}\none line")
        console.say_table(ShownTable(name, ("[b]", "n"), [(name, "1")], totals=[("all", name)]))
        with console.progress_bar(name, 1, " photos") as bar:
            bar.update()
    stdout, stderr = capsys.readouterr()
    shown = "\\x1b[2J[/b][red]\\r:smile:"
    first, second, title, *table = stdout.splitlines()
    assert (first, second, title) == (shown, "second line", shown)
    assert [line.split() for line in table if "1" in line or "[b]" in line] == [
        ["[b]", "n"], [shown, "1"], ["all", shown],
    ]  # fmt: skip
    assert stderr.splitlines()[0] == f"{shown}\\none line"
    assert stderr.splitlines()[1].startswith(f"{shown}: 1 of 1 photos")


def test_a_library_is_silent(capsys):
    console.say("a message")
    console.warn("a warning")
    with console.speaking(True), console.speaking(False), console.progress_bar("photos", 2, " photos") as bar:
        bar.update()
    assert capsys.readouterr() == ("", "")


def test_a_process_without_stderr(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with console.speaking(True), console.progress_bar("photos", 2, " photos") as bar:
        bar.update()
        console.warn("nobody reads this")
