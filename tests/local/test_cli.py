import subprocess
import sys

import pytest

from optml.local import cli


def test_help_lists_every_command():
    done = subprocess.run([sys.executable, "-m", "optml.local.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert all(command in done.stdout for command in cli.COMMANDS)


def test_help_imports_nothing_heavy():
    code = "import sys; from optml.local import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'numpy', 'pydantic', 'rich'} & set(sys.modules), 'heavy'"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: optml {command}")


def test_version_is_told(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("optml ")


def test_misspelt_option_is_answered_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "kmeans", "--trian", "a.csv", "--model-dir", "out"])
    assert ended.value.code == 2
    assert "unrecognized argument --trian; did you mean --train?" in capsys.readouterr().err


def test_error_of_the_system_is_one_line(tmp_path, capsys):
    (tmp_path / "in.csv").write_text("1,2\n")
    (tmp_path / "out.npy").mkdir()
    code = cli.main(["convert", str(tmp_path / "in.csv"), str(tmp_path / "out.npy")])
    assert code == 3
    assert "Is a directory" in capsys.readouterr().err


def test_closed_pipe_is_no_error():
    words = [sys.executable, "-m", "optml.local.cli", "describe", "kmeans", "--json"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait() == 0
