"""The pictures in docs/seen: a notebook, an editor, the playground and a report, as one sees them. `make pictures`.

    python website/pictures.py [notebook] [editor] [playground] [report]

Real programs are used: JupyterLab, Neovim in tmux with the language server, and Chromium. All have to be there, with
what `make playground` installs. A minute or two.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
SEEN = ROOT / "docs" / "seen"
PLAYGROUND = ROOT / "playground"
#: How long a program may take to come up, in seconds.
PATIENCE = 120
#: Colours of a picture, which keep it small.
PALETTE = 128

#: The cells of the notebook: so many in its first picture, the others in the second.
FIRST = 3
CELLS = (
    "%load_ext circuitdsl",
    "%%circ feedback\n{circuit}",
    "run = feedback.compile().run(seeds=3, progress=True)\nrun.curves",
    'feedback.derive(measure=False)["W1"]',
    "feedback.certify()",
    "%%circ wrong\n{wrong}",
    "feedback.compile().run(epochs=-1)",
)

#: A slip in the circuit that the editor shows.
SLIP = ("post.apical * step", "post.apcial * step")
#: Columns and lines of the terminal.
TERMINAL = (104, 36)
RECIPE = """
vim.opt.runtimepath:prepend("{vim}")
for name, value in pairs({{
  background = "light", termguicolors = true, number = true, signcolumn = "yes", laststatus = 0, ruler = false,
  showcmd = false, fillchars = "eob: ", swapfile = false,
}}) do vim.opt[name] = value end
vim.cmd([[syntax on | filetype plugin on
highlight SignColumn guibg=NONE
highlight LineNr guifg=#9aa2ab
highlight NormalFloat guibg=#eef1f5 guifg=#1b1f24
highlight DiagnosticError guifg=#c4291c]])
require("circuitdsl").setup({{ cmd = {{ "{python}", "-m", "circuitdsl", "lsp" }} }})
vim.cmd("edit {file}")
vim.wait(60000, function()
  local server = vim.lsp.get_active_clients()[1]
  return server and server.initialized
end, 50)
"""


def main(wanted: list[str]) -> None:
    makers = {"notebook": notebook, "editor": editor, "playground": playground, "report": report}
    unknown = set(wanted) - set(makers)
    if unknown:
        sys.exit(f"there is no picture {', '.join(sorted(unknown))}: {', '.join(makers)}")
    SEEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted or makers:
            makers[name](Path(folder))
            print(f"made: {name}")


def program(*names: str) -> str:
    """The first of these programs that is there."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or sys.exit(f"there is no {names[0]} to take pictures with")


def shoot(what: str, address: str, file: Path, *numbers: int) -> None:
    chromium = program("chromium", "chromium-browser", "google-chrome")
    command = ["node", str(PLAYGROUND / "shoot.mjs"), what, address, str(file), chromium, *map(str, numbers)]
    subprocess.run(command, check=True, timeout=600)


def keep(picture: Path, name: str, *, wide: int | None = None) -> None:
    """Puts a picture into docs/seen, small."""
    from PIL import Image

    with Image.open(picture) as image:
        shown = image.convert("RGB")
        if wide is not None:
            shown.thumbnail((wide, shown.height), Image.Resampling.LANCZOS)
        small = shown.quantize(PALETTE, dither=Image.Dither.NONE)
    small.save(SEEN / f"{name}.png", optimize=True)


def example(kind: str) -> str:
    """The first circuit of the README that is right (`circ`) or wrong (`circ-wrong`)."""
    found = re.search(rf"```{kind}\n(.*?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


# ---------------------------------------------------------------- a notebook


def notebook(folder: Path) -> None:
    import nbformat

    texts = {"circuit": example("circ"), "wrong": example("circ-wrong")}
    cells = [cell.replace("{circuit}", texts["circuit"]).replace("{wrong}", texts["wrong"]) for cell in CELLS]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, folder / "feedback.ipynb")
    with jupyter_lab(folder) as address:
        shoot("notebook", f"{address}/lab/tree/feedback.ipynb", folder / "notebook", 1300, FIRST)
    keep(folder / "notebook-1.png", "notebook")
    keep(folder / "notebook-2.png", "notebook-answers")


@contextmanager
def jupyter_lab(folder: Path) -> Iterator[str]:
    """A JupyterLab of its own on a folder; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = folder / "settings" / "@jupyterlab"
    for plugin, name, value in (
        ("apputils-extension", "notification", {"fetchNews": "false"}),
        ("application-extension", "shell", {"startMode": "single"}),
    ):
        (settings / plugin).mkdir(parents=True, exist_ok=True)
        (settings / plugin / f"{name}.jupyterlab-settings").write_text(json.dumps(value))
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    environment = os.environ | {name: str(folder / place) for name, place in places.items()}
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    options = ["--no-browser", f"--port={port}", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    command = [sys.executable, "-m", "jupyterlab", *options, "--allow-root", "--log-level=ERROR"]
    server = subprocess.Popen(command, env=environment, cwd=folder)
    try:
        address = f"http://127.0.0.1:{port}"
        answers(address + "/api")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)


def answers(address: str) -> None:
    """Waits until a server does."""
    for _ in range(PATIENCE * 4):
        try:
            urlopen(address).close()
        except URLError:
            time.sleep(0.25)
        else:
            return
    sys.exit(f"{address} does not answer")


# ---------------------------------------------------------------- an editor


def editor(folder: Path) -> None:
    """Neovim with a slip in the text and, over it, what is derived of a synapse."""
    text = example("circ")
    assert SLIP[0] in text
    (folder / "feedback.circ").write_text(text)
    recipe = RECIPE.format(vim=ROOT / "editors" / "vim", python=sys.executable, file=folder / "feedback.circ")
    (folder / "recipe.lua").write_text(recipe)
    with terminal(f"nvim -u NONE -i NONE -c 'luafile {folder / 'recipe.lua'}'") as screen:
        screen.waits("synapse W1")
        screen.keys("/W1", "Enter", ":noh", "Enter", ":lua vim.lsp.buf.hover()", "Enter")
        hovering = screen.waits("Assumes")
        screen.keys("0", f":s/{SLIP[0].split()[0]}/{SLIP[1].split()[0]}/", "Enter", ":noh", "Enter")
        screen.waits("■")
        screen.keys(":lua vim.diagnostic.open_float()", "Enter")
        broken = screen.waits("Diagnostics:")
        screen.keys(":qall!", "Enter")
    for name, content in (("editor", hovering), ("editor-broken", broken)):
        (folder / f"{name}.html").write_text(as_html(content), encoding="utf-8")
        shoot("page", (folder / f"{name}.html").as_uri(), folder / f"{name}.png", 920, 0)
        keep(folder / f"{name}.png", name)


class Screen:
    """A terminal that tmux keeps, in a server of its own."""

    def __init__(self, socket_name: str):
        self.name = socket_name

    def tmux(self, *command: str) -> str:
        done = subprocess.run(["tmux", "-L", self.name, *command], check=True, capture_output=True, text=True)
        return done.stdout

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.tmux("send-keys", *(() if key in ("Enter", "Escape") else ("-l",)), key)

    def waits(self, text: str) -> str:
        """What stands there, with its colours, once it has a text and has come to rest."""
        before = ""
        for _ in range(PATIENCE * 2):
            time.sleep(0.5)
            content = self.tmux("capture-pane", "-p", "-e", "-N")
            if text in self.tmux("capture-pane", "-p") and content == before:
                return content
            before = content
        sys.exit(f"the editor never showed {text!r}:\n{before}")


@contextmanager
def terminal(command: str) -> Iterator[Screen]:
    program("tmux")
    screen = Screen(f"circuitdsl-{os.getpid()}")
    columns, lines = map(str, TERMINAL)
    environment = ["-e", "TERM=tmux-256color", "-e", "COLORTERM=truecolor"]
    screen.tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", lines, *environment, command)
    screen.tmux("set", "-g", "status", "off")
    try:
        yield screen
    finally:
        subprocess.run(["tmux", "-L", screen.name, "kill-server"], check=False, capture_output=True)


def as_html(content: str) -> str:
    """What a terminal shows, as a page."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=TERMINAL[0], file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(content.rstrip("\n")), no_wrap=True)
    body = console.export_html(inline_styles=True, code_format="{code}")
    style = "margin: 0; padding: 14px; font: 14px/1.25 'DejaVu Sans Mono', monospace; background: #fff; color: #1b1f24"
    return f'<!doctype html><meta charset="utf-8"><body style="margin: 0"><pre style="{style}">{body}</pre>'


# ---------------------------------------------------------------- the playground, a report


def playground(folder: Path) -> None:
    """Before and after a run, as the test of the page leaves it."""
    built, pictures = folder / "page", folder / "pictures"
    pictures.mkdir()
    subprocess.run([sys.executable, str(PLAYGROUND / "build.py"), str(built)], check=True)
    chromium = program("chromium", "chromium-browser", "google-chrome")
    command = ["node", str(PLAYGROUND / "e2e.mjs"), str(built), chromium, str(pictures)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for name in ("before", "after", "broken"):
        keep(pictures / f"{name}.png", f"playground-{name}", wide=1100)


def report(folder: Path) -> None:
    page = folder / "report.html"
    command = [sys.executable, "-m", "circuitdsl", "report", "heterosynaptic/kolen_pollack.circ", "-o", str(page)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shoot("page", page.as_uri(), folder / "report.png", 720, 1080)
    keep(folder / "report.png", "report")


if __name__ == "__main__":
    main(sys.argv[1:])
