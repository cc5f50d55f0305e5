"""Importing the package costs little and drags in neither TensorFlow nor torch."""

import subprocess
import sys


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_takes_less_than_a_second_beyond_jax():
    code = "import time, jax; start = time.time(); import wxjax; print(time.time() - start)"
    assert float(python(code)) < 1


def test_help_needs_no_jax():
    call = "from wxjax import main; main.run(['wxjax', '--help'])"
    assert python(f"import sys; {call}; print('jax' in sys.modules)").endswith("False")


def test_the_commands_need_neither_tensorflow_nor_torch():
    code = (
        "import sys; from wxjax import commands; from wxjax.recipes import moei; "
        "from wxjax.restore import photo; "
        "print([name for name in ('tensorflow', 'torch') if name in sys.modules])"
    )
    assert python(code) == "[]"
