"""The language server, talked to by a real client over stdin and stdout."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from editor_client import Editor, editor
from grammar_texts import FIRST as FIRST_PAGE
from grammar_texts import REPOSITORY
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from circuitdsl.lsp.columns import Encoding
from circuitdsl.lsp.server import make_server
from circuitdsl.syntax.format import format_text

FIRST = FIRST_PAGE.replace("hetero(post.apical,", "hetero(post.apical * step(post.basal),")
SELF_ASSEMBLY = REPOSITORY / "circuits" / "heterosynaptic" / "self_assembly.circ"

RULES = """# 𝒟 Decays as it learns.
rule hebb(signal, eta) = eta * signal * pre - 0.01 * w   # 🧠 before 𝑤

motif layer(below, n) {
  neuron a: n { dendrite basal   rate = relu(basal) }
  synapse W: below -> a.basal { dw = hebb(post, 0.1) }
}
"""
CIRCUIT = '''import "rules.circ"
circuit mine {
  """🧠🧠 A text of astral characters. 𝒟"""
  /*here*/
  input x: 4   neuron h: 4 { dendrite basal   rate = relu(basal) } # 𝓗
  use layer as L(below = h, n = 4)
  synapse V: x -> h.basal { dw = hebb(post, 0.1) }
  synapse U: L.a -> h.basal { dw = /*🧠*/ hebb(post, 0.1) }
  record norm(L.W)
}
'''.replace("  /*here*/\n", "").replace("/*🧠*/ ", "# 🧠\n    ")


def talk(folder: Path, story: Callable[[Editor], Awaitable[None]], encoding: Encoding = "utf-16") -> None:
    async def told() -> None:
        async with editor(folder, encoding) as each:
            await story(each)

    asyncio.run(told())


def doc(uri: str) -> lsp.TextDocumentIdentifier:
    return lsp.TextDocumentIdentifier(uri)


def test_a_session_from_opening_to_a_rename(tmp_path: Path) -> None:
    async def story(e: Editor) -> None:
        uri = e.open(tmp_path / "mine.circ", FIRST)
        await e.looked(uri)
        assert e.diagnostics(uri) == []
        at = e.position(uri, "W1: x")
        hover = await e.client.text_document_hover_async(lsp.HoverParams(doc(uri), at))
        assert hover is not None
        assert isinstance(hover.contents, lsp.MarkupContent)
        for word in ("Δw = η", "gradient  δ_h", "⇒ gradient, proved", "attracted(V2, W2)"):
            assert word in hover.contents.value
        everywhere = lsp.Range(lsp.Position(0, 0), lsp.Position(99, 0))
        hints = await e.client.text_document_inlay_hint_async(lsp.InlayHintParams(doc(uri), everywhere))
        lines = FIRST.split("\n")
        shown = [(lines[h.position.line].split(":")[0].strip(), h.label) for h in hints or []]
        assert shown[:2] == [("synapse W1", "⇒ gradient, proved"), ("synapse W2", "⇒ exact, proved")]
        assert hints
        resolved = await e.client.inlay_hint_resolve_async(hints[0])
        assert isinstance(resolved.tooltip, lsp.MarkupContent)
        assert "with V2 = W2ᵀ" in resolved.tooltip.value
        edit = await e.client.text_document_rename_async(lsp.RenameParams(doc(uri), at, "W_in"))
        assert edit is not None
        assert edit.changes is not None
        assert e.edited(uri, list(edit.changes[uri])) == FIRST.replace("W1", "W_in")
        found = await e.client.text_document_formatting_async(
            lsp.DocumentFormattingParams(doc(uri), lsp.FormattingOptions(2, True))
        )
        from circuitdsl.diagnostics import Source

        assert e.edited(uri, list(found or [])) == format_text(Source("", FIRST))
        listed = await e.client.text_document_document_symbol_async(lsp.DocumentSymbolParams(doc(uri)))
        assert listed is not None
        assert listed[0].name == "kolen_pollack"
        assert {"h", "W1", "eta"} <= {s.name for s in listed[0].children or []}  # type: ignore[union-attr]

    talk(tmp_path, story)


def test_what_is_typed_is_told_broken_or_not(tmp_path: Path) -> None:
    async def story(e: Editor) -> None:
        uri = e.open(tmp_path / "mine.circ", FIRST)
        await e.looked(uri)
        e.change(uri, FIRST.replace("relu(basal)", "relu(bassal)"))
        await e.looked(uri)
        (found,) = e.diagnostics(uri)
        assert (found.code, found.severity) == ("C010", lsp.DiagnosticSeverity.Error)
        assert e.text(uri, found.range) == "bassal"
        assert "did you mean `basal`?" in found.message
        context = lsp.CodeActionContext(diagnostics=[found])
        actions = await e.client.text_document_code_action_async(lsp.CodeActionParams(doc(uri), found.range, context))
        assert actions
        (action,) = actions
        assert isinstance(action, lsp.CodeAction)
        assert action.edit is not None
        assert action.edit.changes is not None
        mended = e.edited(uri, list(action.edit.changes[uri]))
        assert mended == FIRST
        for number in range(5):
            e.change(uri, FIRST.replace("relu(basal)", "relu(basal" + "x" * number))
        await e.looked(uri)
        assert {d.code for d in e.diagnostics(uri)} <= {"C001", "C002"}
        assert e.diagnostics(uri)
        at = e.position(uri, "h.basal", inside=2)
        listed = await e.client.text_document_completion_async(lsp.CompletionParams(doc(uri), at))
        assert isinstance(listed, lsp.CompletionList)
        assert {"basal", "apical"} <= {item.label for item in listed.items}
        with pytest.raises(JsonRpcException, match="syntax errors"):
            await e.client.text_document_rename_async(lsp.RenameParams(doc(uri), at, "b"))
        e.change(uri, mended)
        await e.looked(uri)
        assert e.diagnostics(uri) == []

    talk(tmp_path, story)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
def test_columns_behind_astral_characters(tmp_path: Path, encoding: Encoding) -> None:
    async def story(e: Editor) -> None:
        (tmp_path / "rules.circ").write_text(RULES, encoding="utf-8")
        text = CIRCUIT.replace('import "rules.circ"\n', RULES)
        uri = e.open(tmp_path / "mine.circ", "# 🧠" + text.replace("\n", "  # 𝒟🧠\n", 1))
        await e.looked(uri)
        whole = e.texts[uri]
        assert "𝒟" in whole
        at = e.position(uri, "hebb(post", 1)
        edit = await e.client.text_document_rename_async(lsp.RenameParams(doc(uri), at, "learn"))
        assert edit is not None
        assert edit.changes is not None
        assert e.edited(uri, list(edit.changes[uri])) == whole.replace("hebb", "learn")
        one_line = whole.replace("# 🧠\n    hebb", "hebb").replace(
            "  record", '  task t { data = "🧠🧠.npz"   metric = men(h) }  record'
        )
        e.change(uri, one_line)
        await e.looked(uri)
        (found,) = [d for d in e.diagnostics(uri) if d.code == "C010"]
        assert e.text(uri, found.range) == "men"
        e.type(uri, "men(h)", "mean(h)   scale = zcore")  # behind the astral characters of its line
        await e.until(lambda: "C018" in e.codes(uri))
        (found,) = [d for d in e.diagnostics(uri) if d.code == "C018"]
        assert e.text(uri, found.range) == "zcore"

    talk(tmp_path, story, encoding)


def test_names_across_files(tmp_path: Path) -> None:
    (tmp_path / "rules.circ").write_text(RULES, encoding="utf-8")
    (tmp_path / "other.circ").write_text(CIRCUIT.replace("mine", "other"), encoding="utf-8")

    async def story(e: Editor) -> None:
        uri = e.open(tmp_path / "mine.circ", CIRCUIT)
        await e.looked(uri)
        rules, other = ((tmp_path / name).as_uri() for name in ("rules.circ", "other.circ"))
        e.texts |= {rules: RULES, other: CIRCUIT.replace("mine", "other")}
        at = e.position(uri, "hebb(post")
        places = await e.client.text_document_definition_async(lsp.DefinitionParams(doc(uri), at))
        assert isinstance(places, list)
        assert [(p.uri, e.text(rules, p.range)) for p in places] == [(rules, "hebb")]  # type: ignore[union-attr]
        at_import = e.position(uri, "rules.circ")
        places = await e.client.text_document_definition_async(lsp.DefinitionParams(doc(uri), at_import))
        assert [p.uri for p in places or []] == [rules]  # type: ignore[union-attr]
        context = lsp.ReferenceContext(include_declaration=True)
        found = await e.client.text_document_references_async(lsp.ReferenceParams(context, doc(uri), at))
        assert sorted(p.uri for p in found or []) == sorted([rules] * 2 + [uri] * 2 + [other] * 2)
        at = e.position(uri, "W)")
        edit = await e.client.text_document_rename_async(lsp.RenameParams(doc(uri), at, "Win"))
        assert edit is not None
        assert edit.changes is not None
        assert set(edit.changes) == {rules, uri, other}
        assert "synapse Win: below" in e.edited(rules, list(edit.changes[rules]))
        assert "norm(L.Win)" in e.edited(other, list(edit.changes[other]))
        # a text that is open counts as it stands, not as it is saved
        second = e.open(tmp_path / "rules.circ", RULES.replace("0.01 * w", "0.01 * ww"))
        await e.until(lambda: "C010" in e.codes(uri))
        e.change(second, RULES.replace("hebb(signal, eta)", "hebb(signal, eta, more)"))
        await e.until(lambda: "C017" in e.codes(uri))
        e.client.text_document_did_close(lsp.DidCloseTextDocumentParams(doc(second)))
        await e.until(lambda: "C017" not in e.codes(uri))

    talk(tmp_path, story)


async def names_that_cannot_be_given(e: Editor, folder: Path) -> None:
    uri = e.open(folder / "refused.circ", FIRST)
    library = e.open(SELF_ASSEMBLY, SELF_ASSEMBLY.read_text())
    at = e.position(uri, "eta   =")
    for name, why in (
        ("gamma", "already has a meaning"), ("neuron", "keyword"), ("w", "built in"), ("2x", "not a name"),
        ("h", "already has a meaning"), ("a b", "not a name"),
    ):  # fmt: skip
        with pytest.raises(JsonRpcException, match=why):
            await e.client.text_document_rename_async(lsp.RenameParams(doc(uri), at, name))
    at = e.position(library, "sal_pair")
    with pytest.raises(JsonRpcException, match="library"):
        await e.client.text_document_prepare_rename_async(lsp.PrepareRenameParams(doc(library), at))
    comment = e.position(uri, "one-to-one wiring")
    with pytest.raises(JsonRpcException, match="no name"):
        await e.client.text_document_prepare_rename_async(lsp.PrepareRenameParams(doc(uri), comment))
    at = e.position(uri, "eta   =")
    place = await e.client.text_document_prepare_rename_async(lsp.PrepareRenameParams(doc(uri), at))
    assert isinstance(place, lsp.Range)
    assert e.text(uri, place) == "eta"


async def a_text_that_lies_nowhere(e: Editor, folder: Path) -> None:
    uri = "untitled:Untitled-1"
    e.open_uri(uri, FIRST)
    await e.looked(uri)
    assert e.diagnostics(uri) == []
    at = e.position(uri, "h: 64")
    places = await e.client.text_document_definition_async(lsp.DefinitionParams(doc(uri), at))
    assert [p.uri for p in places or []] == [uri]  # type: ignore[union-attr]
    edit = await e.client.text_document_rename_async(lsp.RenameParams(doc(uri), at, "hidden"))
    assert edit is not None
    assert set(edit.changes or {}) == {uri}
    e.client.text_document_did_close(lsp.DidCloseTextDocumentParams(doc(uri)))


def test_names_that_are_refused_and_a_text_that_lies_nowhere(tmp_path: Path) -> None:
    async def story(e: Editor) -> None:
        await names_that_cannot_be_given(e, tmp_path)
        await a_text_that_lies_nowhere(e, tmp_path)

    talk(tmp_path, story)


def test_work_that_a_key_press_makes_stale_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> list[Path]:
        server = make_server()
        told: list[Path] = []

        async def tell(path: Path) -> None:
            told.append(path)

        monkeypatch.setattr(server, "_tell", tell)
        monkeypatch.setattr(server, "can_refresh", lambda: False)
        for _ in range(3):
            server.look(tmp_path / "one.circ", 0)
        server.look(tmp_path / "two.circ", 0)
        await asyncio.gather(*server.checks.values())
        return told

    assert asyncio.run(story()) == [tmp_path / "one.circ", tmp_path / "two.circ"]
