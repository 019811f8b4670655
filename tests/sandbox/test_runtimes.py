"""What V8 and CPython ask of a kernel, they get: the filter and the limits leave real servers whole."""

import shutil
import sys
from pathlib import Path

import orjson
import pytest

from gateway.executors.program import Program
from gateway.executors.sandbox.confinement import Confinement
from tests.sandbox.battery import AS, PYTHON, open_up, own, profile, run_inside

pytestmark = pytest.mark.slow

NODE = """
const { Worker } = require('worker_threads');
const fs = require('fs'), http = require('http'), zlib = require('zlib'), crypto = require('crypto');
(async () => {
  const worker = new Worker("require('worker_threads').parentPort.postMessage('thread')", { eval: true });
  console.log(await new Promise(done => worker.on('message', done)));
  console.log(require('child_process').execSync('echo child').toString().trim());
  fs.watch(process.cwd(), () => {}).close();
  console.log(zlib.gunzipSync(zlib.gzipSync('zlib')).toString(), crypto.randomUUID().length);
  await WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
  const server = http.createServer((_, answer) => answer.end('http')).listen(0, '127.0.0.1', async () => {
    console.log(await (await fetch(`http://127.0.0.1:${server.address().port}`)).text());
    process.exit(0);
  });
})();
"""
CPYTHON = """
import asyncio, concurrent.futures, ctypes, os, sqlite3, ssl, sys
from multiprocessing import shared_memory
def doubled(x): return x * 2
async def spoken():
    child = await asyncio.create_subprocess_exec('echo', 'child', stdout=-1)
    return (await child.communicate())[0].decode().strip()
if __name__ == '__main__':
    with concurrent.futures.ProcessPoolExecutor(2) as pool: print(list(pool.map(doubled, [1, 2])))
    shared = shared_memory.SharedMemory(create=True, size=4096); shared.close(); shared.unlink()
    base = sqlite3.connect(os.environ['HOME'] + '/base.db')
    print(base.execute('pragma journal_mode=wal').fetchone()[0])
    base.execute('create table kept (x)'); base.commit()
    print(asyncio.run(spoken()), asyncio.run(asyncio.to_thread(lambda: 'thread')))
    ssl.create_default_context()
    print(ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 3)())
"""


@pytest.fixture(params=AS)
def who(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_node_has_threads_children_networks_and_web_assembly(tmp_path: Path, who: str) -> None:
    if shutil.which("node", path="/usr/bin") is None:
        pytest.fail("this test needs node: apt-get install nodejs")
    open_up(tmp_path)
    confined = Confinement(profile(), work=own(tmp_path / "work"))
    ran = await run_inside(Program(("/usr/bin/node", "-e", NODE)), confined, who)
    assert (ran.out.split(), ran.err) == (["thread", "child", "zlib", "36", "http"], "")


async def test_python_has_pools_shared_memory_databases_and_callbacks(tmp_path: Path, who: str) -> None:
    open_up(tmp_path)
    (tmp_path / "server.py").write_text(CPYTHON)
    program = Program((PYTHON, str(tmp_path / "server.py")), runtime=(tmp_path / "server.py",))
    ran = await run_inside(program, Confinement(profile(), work=own(tmp_path / "work")), who)
    assert (ran.out.splitlines(), ran.err) == (["[2, 4]", "wal", "child thread", "3"], "")


async def test_an_environment_brings_its_native_modules() -> None:
    packages = Path(orjson.__file__).parents[1]
    modules = "import cryptography.hazmat.bindings._rust, mcp, orjson, pydantic, regorus, uvloop, asyncio"
    run = f"{modules}; uvloop.run(asyncio.sleep(0)); print('whole')"
    program = Program(
        (sys.executable, "-c", run),
        runtime=(packages, Path(sys.prefix), Path(sys.base_prefix)),
        env={"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    ran = await run_inside(program, Confinement(profile()), AS[0])
    assert (ran.out, ran.err) == ("whole\n", "")
