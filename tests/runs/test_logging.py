import os

import pytest

from jaxmeta.runs.logging import CsvLog, columns, read_csv, write_json

COLUMNS = columns(["loss", "return_pre", "return_post"])


def rows(*iterations, seeds=(3, 4)):
    numbers = dict.fromkeys(COLUMNS[2:], 0.1)
    return [{"iteration": i, "seed": seed, **numbers, "env_steps": 10 * i} for i in iterations for seed in seeds]


@pytest.fixture
def written(tmp_path):
    log = CsvLog(tmp_path / "metrics.csv", COLUMNS, (3, 4))
    log.write(rows(1))
    log.write(rows(2, 3))
    log.close()
    return tmp_path / "metrics.csv"


def test_rows_come_back_as_they_were_written(written):
    assert COLUMNS == ["iteration", "seed", "env_steps", "seconds", "return_pre", "return_post", "loss"]
    assert read_csv(written) == rows(1, 2, 3)


def test_what_is_beyond_the_checkpoint_is_dropped_and_nothing_else_is_touched(written):
    before = written.stat().st_ino, written.read_bytes()
    CsvLog(written, COLUMNS, (3, 4), 3).close()
    assert (written.stat().st_ino, written.read_bytes()) == before
    with written.open("a") as file:
        file.write("4,3,40,0.1,0.1,0.1,0.1\n4,4,40,0.1,0.1,0.1,0.")
    log = CsvLog(written, COLUMNS, (3, 4), 3)
    log.write(rows(4))
    log.close()
    assert read_csv(written) == rows(1, 2, 3, 4)
    CsvLog(written, COLUMNS, (3, 4), 1).close()
    assert read_csv(written) == rows(1)


def test_a_table_that_is_not_the_run_s_is_one_line_that_names_the_file(written):
    whole = written.read_text()
    header, *lines = whole.splitlines(keepends=True)
    for text, message in (
        (
            header + "".join(lines[:2] + lines[4:]),
            "holds 4 rows, and the checkpoint needs 6 rows, of iterations 1 to 3",
        ),
        (header + "".join([lines[0], *lines]), "holds 7 rows, and the checkpoint needs 6 rows"),
        (whole.replace("loss", "lost"), "its columns are not this run's: loss, lost"),
        ("", "not a table of metrics (it has no columns env_steps, iteration, return_post"),
        ("".join(lines), "not a table of metrics (it has no columns env_steps, iteration, return_post"),
        (whole.replace("return_post", "return_past"), "not a table of metrics (it has no columns return_post)"),
        (whole.replace("\n1,", "\n0,"), "not a table of metrics (its iterations are not counted from 1)"),
        (whole.replace("0.1", "much", 1), "not a table of metrics (could not convert string to float: 'much')"),
    ):
        written.write_text(text)
        with pytest.raises(ValueError, match="metrics") as caught:
            CsvLog(written, COLUMNS, (3, 4), 3)
        assert str(caught.value).startswith(f"{written}: {message}")
        assert written.read_text() == text
    written.write_bytes(b"\xff\x00\n")
    with pytest.raises(ValueError, match=r"not a table of metrics \('utf-8' codec"):
        read_csv(written)


def test_a_link_is_replaced_by_what_is_written_and_a_device_is_written_to(written, tmp_path):
    other = tmp_path / "other"
    other.write_text(written.read_text())
    for path in (written, tmp_path / "evaluation.json", tmp_path / "evaluation.json.tmp"):
        path.unlink(missing_ok=True)
        path.symlink_to(other)
    before = other.read_bytes()
    log = CsvLog(written, COLUMNS, (3, 4), 3)
    log.write(rows(4))
    log.close()
    write_json(tmp_path / "evaluation.json", {"a": 1})
    assert other.read_bytes() == before
    assert read_csv(written) == rows(1, 2, 3, 4)
    assert (tmp_path / "evaluation.json").read_text() == '{\n "a": 1\n}\n'
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_json(pipe, 1)
    assert os.read(reader, 9) == b"1\n"
    os.close(reader)
