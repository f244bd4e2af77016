"""Official clients, pointed at herd and used as their manuals say."""
import json
import subprocess

import pytest

from harness.ollama import TEXT, digest_of


def module(name):
    return pytest.importorskip(name, reason="the Python package %s is not installed (scripts/test does it when pip works)" % name)


@pytest.mark.real
class TestOllamaPython:
    @pytest.fixture
    def client(self, real_herd):
        return module("ollama").Client(host=real_herd.url)

    def test_chat(self, client):
        answer = client.chat("tiny", [{"role": "user", "content": "why?"}])
        assert answer.message.content.strip() == TEXT and answer.done and answer.eval_count > 0

    def test_chat_stream(self, client):
        parts = list(client.chat("tiny", [{"role": "user", "content": "why?"}], stream=True))
        assert "".join(part.message.content for part in parts).strip() == TEXT and parts[-1].done_reason == "stop"

    def test_generate(self, client):
        assert client.generate("tiny", "x").response.strip() == TEXT
        assert "".join(part.response for part in client.generate("tiny", "x", stream=True)).strip() == TEXT

    def test_embeddings(self, client):
        assert [len(row) for row in client.embed("tinyembed", ["a", "b"]).embeddings] == [64, 64]
        assert len(client.embeddings("tinyembed", "a").embedding) == 64

    def test_list_show_ps(self, client):
        assert {"tiny:latest", "tinyembed:latest"} <= {model.model for model in client.list().models}
        assert client.show("tiny").modelinfo["general.architecture"] == "llama"
        client.generate("tiny", "x")
        assert "tiny:latest" in {model.model for model in client.ps().models}

    def test_copy_delete_create(self, client, models_folder):
        client.copy("tiny", "py-copy")
        assert client.show("py-copy").details.format == "gguf"
        assert client.delete("py-copy").status == "success"
        assert client.create_blob(models_folder["tiny"]) == digest_of(models_folder["tiny"])
        last = None
        for last in client.create("py-made", files={"tiny.gguf": digest_of(models_folder["tiny"])}, stream=True):
            pass
        assert last.status == "success"
        assert client.delete("py-made").status == "success"

    def test_an_unknown_model_is_a_404(self, client):
        with pytest.raises(module("ollama").ResponseError) as caught:
            client.chat("nope", [{"role": "user", "content": "x"}])
        assert caught.value.status_code == 404 and "nope" in caught.value.error

    def test_async(self, real_herd):
        import asyncio
        ollama = module("ollama")

        async def both():
            client = ollama.AsyncClient(host=real_herd.url)
            return await asyncio.gather(client.generate("tiny", "a"), client.generate("tiny", "b"))
        assert [answer.response.strip() for answer in asyncio.run(both())] == [TEXT, TEXT]


@pytest.mark.real
class TestOpenAIPython:
    @pytest.fixture
    def client(self, real_herd):
        return module("openai").OpenAI(base_url=real_herd.url + "/v1", api_key="ollama", max_retries=0)

    def test_chat(self, client):
        answer = client.chat.completions.create(model="tiny", temperature=0, messages=[{"role": "user", "content": "why?"}])
        assert answer.choices[0].message.content.strip() == TEXT and answer.usage.completion_tokens > 0

    def test_chat_stream_with_usage(self, client):
        parts = list(client.chat.completions.create(model="tiny", temperature=0, messages=[{"role": "user", "content": "why?"}], stream=True,
                                                    stream_options={"include_usage": True}))
        assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices).strip() == TEXT
        assert parts[-1].usage.completion_tokens > 0

    def test_completions_and_embeddings_and_models(self, client):
        assert client.completions.create(model="tiny", temperature=0, prompt="x").choices[0].text.strip() == TEXT
        assert len(client.embeddings.create(model="tinyembed", input="a", encoding_format="float").data[0].embedding) == 64
        assert {"tiny:latest", "tinyembed:latest"} <= {model.id for model in client.models.list()}
        assert client.models.retrieve("tiny").id == "tiny"

    def test_an_unknown_model_is_not_found(self, client):
        with pytest.raises(module("openai").NotFoundError) as caught:
            client.chat.completions.create(model="nope", messages=[{"role": "user", "content": "x"}])
        assert "nope" in caught.value.message


class TestAnthropicPython:
    """Against the simulated Ollama: the real one of the tests may be older than /v1/messages (0.14)."""

    @pytest.fixture
    def client(self, sim_fleet):
        herd, _, _ = sim_fleet.simulated(1)
        return module("anthropic").Anthropic(base_url=herd.url, api_key="ollama", max_retries=0)

    def test_messages(self, client):
        answer = client.messages.create(model="llama3.2:3b", max_tokens=20, messages=[{"role": "user", "content": "why?"}])
        assert answer.content[0].text and answer.usage.output_tokens > 0 and answer.stop_reason in ("end_turn", "max_tokens")

    def test_stream(self, client):
        with client.messages.stream(model="llama3.2:3b", max_tokens=20, messages=[{"role": "user", "content": "why?"}]) as stream:
            text = "".join(stream.text_stream)
            assert text and stream.get_final_message().content[0].text == text

    def test_an_unknown_model_is_not_found(self, client):
        with pytest.raises(module("anthropic").NotFoundError) as caught:
            client.messages.create(model="nope", max_tokens=5, messages=[{"role": "user", "content": "x"}])
        assert "nope" in str(caught.value)


JAVASCRIPT = """
import { Ollama } from 'ollama'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
const [host, gguf] = process.argv.slice(2)
const client = new Ollama({ host })
const messages = [{ role: 'user', content: 'why?' }]
const out = {}
out.chat = (await client.chat({ model: 'tiny', messages })).message.content
out.stream = ''
for await (const part of await client.chat({ model: 'tiny', messages, stream: true })) out.stream += part.message.content
out.generate = (await client.generate({ model: 'tiny', prompt: 'x' })).response
out.embed = (await client.embed({ model: 'tinyembed', input: ['a', 'b'] })).embeddings.map((row) => row.length)
out.list = (await client.list()).models.map((model) => model.name)
out.show = (await client.show({ model: 'tiny' })).details.family
out.ps = (await client.ps()).models.map((model) => model.name)
await client.copy({ source: 'tiny', destination: 'js-copy' })
out.deleted = (await client.delete({ model: 'js-copy' })).status
try { await client.chat({ model: 'nope', messages }) } catch (error) { out.error = [error.status_code, error.message] }
const abort = await client.generate({ model: 'tinyloop', prompt: 'x', stream: true, options: { num_predict: 100000 } })
let seen = 0
try { for await (const part of abort) { if (++seen === 3) abort.abort() } } catch (error) { out.abort = error.name }
console.log(JSON.stringify(out))
"""


@pytest.mark.real
def test_ollama_javascript(real_herd, node_js, models_folder, tmp_path):
    node, folder = node_js
    script = folder / "herd-client-test.mjs"
    script.write_text(JAVASCRIPT)
    done = subprocess.run([node, script, real_herd.url, str(models_folder["tiny"])], capture_output=True, text=True, timeout=60, cwd=folder)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout.splitlines()[-1])
    assert out["chat"].strip() == out["stream"].strip() == out["generate"].strip() == TEXT
    assert out["embed"] == [64, 64] and {"tiny:latest", "tinyembed:latest"} <= set(out["list"])
    assert out["show"] == "llama" and "tiny:latest" in out["ps"] and out["deleted"] == "success"
    assert out["error"][0] == 404 and "nope" in out["error"][1]
    assert out["abort"] == "AbortError"
