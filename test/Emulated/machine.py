"""An emulated PC that runs programs of the build: one boot of a Linux kernel in Bochs for a list of commands.

Bochs (https://bochs.sourceforge.io) interprets processors that the machine at hand is not, AVX-512 and AVX-VNNI among them. The
kernel is Debian's, unpacked from its package and not installed; Inputs/init.c is all that runs on it.

As a program: python3 machine.py fetch-kernel   downloads the kernel's package and unpacks it into BUILD/emulated
              python3 machine.py models         names the processors that the emulator knows
"""
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LLMC_BUILD") or SOURCE / "build")
KERNELS = BUILD / "emulated"
COMPILER = "clang-22"  # what builds the project; there may be no other
ISOLINUX = [pathlib.Path("/usr/lib/ISOLINUX/isolinux.bin"), pathlib.Path("/usr/lib/syslinux/modules/bios/ldlinux.c32")]
# What the kernel is told to do without. Both 2.7 and 3.0 copy wrongly in its memmove for processors with fast short moves; 2.7
# tells a wrong size of the compacted state and of PKRU's; Linux has AMX only with XFD (extended feature disable), which 3.0 lacks.
WITHOUT = "fsrm,pku,xsavec,xsaves,amx_tile"
KERNEL_LINE = ("initrd=/initrd console=ttyS0,115200 quiet panic=-1 nokaslr mitigations=off no_timer_check "
               f"clearcpuid={WITHOUT} lpj=100000 random.trust_cpu=on")
# Instructions to a second of the emulated clock: few, so that waiting for a device is short.
CONFIGURATION = """\
display_library: {display}
romimage: file={bios}
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model={model}, count=1, ips=10000000
megs: 512
clock: sync=none
boot: cdrom
ata0-master: type=cdrom, path={folder}/image.iso, status=inserted
com1: enabled=1, mode=file, dev={folder}/console
parport1: enabled=1, file={folder}/answers
log: {folder}/log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""


class Missing(Exception):
    """What the emulated machine needs and is not here."""


def bochs():
    """The emulator: $LLMC_BOCHS, or the one in PATH."""
    program = os.environ.get("LLMC_BOCHS") or shutil.which("bochs")
    if not program or not os.access(program, os.X_OK):
        raise Missing("bochs is not here (apt-get install bochs bochs-term bochsbios vgabios, or LLMC_BOCHS=PATH)")
    return program


@functools.lru_cache
def help_text(*topic):
    result = subprocess.run([bochs(), "--help", *topic], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return result.stdout + result.stderr


def models():
    """Names of processors."""
    return re.findall(r"^(\w+)$", help_text("cpu"), re.M)


def kernel():
    found = sorted(KERNELS.glob("boot/vmlinuz-*"))
    if not found:
        raise Missing("the kernel is not here (python3 test/Emulated/machine.py fetch-kernel)")
    return found[-1]


def check_parts():
    """Raises Missing, or returns when a machine can be started."""
    bochs(), kernel()
    for tool in ("xorriso", COMPILER):
        if not shutil.which(tool):
            raise Missing(f"{tool} is not here")
    for path in ISOLINUX:
        if not path.exists():
            raise Missing(f"{path} is not here (apt-get install isolinux syslinux-common)")


def fetch_kernel():
    """Unpacks Debian's smallest kernel, unless one is there; its package is the one that the package without a version needs."""
    if list(KERNELS.glob("boot/vmlinuz-*")):
        return
    text = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"Depends: (linux-image-\S+)", text)
    if not found:
        raise Missing("apt knows no linux-image-cloud-amd64")
    package = found[1]
    KERNELS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=KERNELS) as folder:
        subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True)
        archive, = pathlib.Path(folder).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", archive, f"{folder}/files"], check=True)
        (KERNELS / "boot").mkdir(exist_ok=True)
        for path in pathlib.Path(folder).glob("files/boot/vmlinuz-*"):
            path.replace(KERNELS / "boot" / path.name)


def needed_files(program):
    """A program with its libraries, where the loader looks for them."""
    text = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return {path: path for path in re.findall(r"(/\S+) \(0x", text)}


def archive(files):
    """The bytes of a cpio archive (format newc) with {path in it: path here or bytes}."""
    folders = {str(parent) for path in files for parent in pathlib.PurePosixPath(path).parents} - {"/"} | {"/proc"}
    parts = []

    def add(path, mode, data):
        name = path.lstrip("/").encode() + b"\0"
        fields = [len(parts) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        parts.append(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))

    for folder in sorted(folders):
        add(folder, 0o040755, b"")
    for path, data in sorted(files.items()):
        add(path, 0o100755, data if isinstance(data, bytes) else pathlib.Path(data).read_bytes())
    add("TRAILER!!!", 0, b"")
    return b"".join(parts)


def build_image(folder, files, cases):
    """The disc that the machine boots from: boot loader, kernel, and all files in the memory that it starts with."""
    subprocess.run([COMPILER, "-std=gnu11", "-O1", "-static", pathlib.Path(__file__).parent / "Inputs" / "init.c",
                    "-o", folder / "init"], check=True)
    lines = "".join(" ".join([name, result, *command]) + "\n" for name, (result, command) in cases.items())
    disc = folder / "disc"
    (disc / "isolinux").mkdir(parents=True)
    for path in ISOLINUX:
        shutil.copy(path, disc / "isolinux")
    shutil.copy(kernel(), disc / "vmlinuz")
    (disc / "initrd").write_bytes(archive({**files, "/init": folder / "init", "/cases": lines.encode()}))
    (disc / "isolinux" / "isolinux.cfg").write_text(
        f"default linux\nprompt 0\nlabel linux\n kernel /vmlinuz\n append {KERNEL_LINE}\n")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", folder / "image.iso", "-b", "isolinux/isolinux.bin",
                    "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", disc],
                   check=True, capture_output=True)


def read_answers(data):
    """{name: (exit code, text, bytes of the result)} from what Inputs/init.c sent, and whether it came to its end."""
    answers = {}
    while b"\n" in data and not data.startswith(b"done\n"):
        head, data = data.split(b"\n", 1)
        name, code, text, result = head.decode().split(" ")
        text, result = int(text), int(result)
        answers[name] = int(code), data[:text].decode(errors="replace"), data[text:text + result]
        data = data[text + result:]
    return answers, data == b"done\n"


def run_cases(folder, model, files, cases, seconds=900):
    """Runs {name: (file to bring back or '-', [program, argument, ...])} on a processor; {name: (code, text, bytes)}."""
    folder = pathlib.Path(folder)
    build_image(folder, files, cases)
    own = pathlib.Path(bochs()).resolve().parent / "bios" / "BIOS-bochs-latest"
    bios = own if own.exists() else "/usr/share/bochs/BIOS-bochs-latest"
    (folder / "continue").write_text("continue\n")
    # Debian's is built with a debugger, which waits for a command.
    debugger = ["-rc", folder / "continue"] if "-rc filename" in help_text() else []
    for display in ("nogui", "term"):
        configuration = CONFIGURATION.format(display=display, bios=bios, model=model, folder=folder)
        (folder / "bochsrc").write_text(configuration)
        with open(folder / "screen", "wb") as screen:
            try:
                subprocess.run([bochs(), "-q", "-f", folder / "bochsrc", *debugger], stdin=subprocess.DEVNULL, stdout=screen,
                               stderr=screen, timeout=seconds, env=dict(os.environ, TERM="xterm"))
            except subprocess.TimeoutExpired:
                break
        if b"display library 'nogui' not available" not in (folder / "screen").read_bytes():
            break
    data = (folder / "answers").read_bytes() if (folder / "answers").exists() else b""
    answers, complete = read_answers(data)
    if not complete:
        tails = [(folder / name).read_text(errors="replace")[-1500:] for name in ("console", "screen") if (folder / name).exists()]
        raise RuntimeError(f"{model}: the emulated machine stopped after {len(answers)} of {len(cases)} cases\n" + "\n".join(tails))
    return answers


if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["fetch-kernel"]:
            fetch_kernel()
        elif sys.argv[1:] == ["models"]:
            print("\n".join(models()))
        else:
            sys.exit(__doc__)
    except (Missing, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"machine.py: {error}")
