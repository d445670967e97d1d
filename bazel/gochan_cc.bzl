"""gochan_cc_library: a cc_library and its instrumented twin. gochan_cc_test: a cc_test."""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")

def _twin(label):
    """Returns the label of the twin of a label of this repository; others have none."""
    if label.startswith("@"):
        return label
    if ":" in label:
        return label + "_instrumented"
    return "{}:{}_instrumented".format(label, label.split("/")[-1])

def gochan_cc_library(name, deps = [], defines = [], testonly = False, twin = True, **kwargs):
    """Declares a cc_library NAME and the same sources again as NAME_instrumented.

    In the twin every atomic operation calls a hook, which is how the schedule explorer, the stall
    test and the counting of read-modify-writes look inside. The macros that say so change the
    library's inline code, so they are `defines`, which reach everything that depends on a twin,
    and a program links plain targets or twins, never both.

    Args:
      name: as in cc_library.
      deps: as in cc_library; the twin depends on the twins of this repository's targets.
      defines: as in cc_library.
      testonly: as in cc_library; the twin always is.
      twin: False for a library that makes sense only on top of twins, or nowhere near them.
      **kwargs: passed on to both.
    """
    cc_library(
        name = name,
        testonly = testonly,
        defines = defines,
        deps = deps,
        **kwargs
    )
    if not twin:
        return
    cc_library(
        name = name + "_instrumented",
        testonly = True,
        # Two cells are enough to reach every border between segments in a few operations.
        defines = defines + [
            "GOCHAN_INSTRUMENT=1",
            "GOCHAN_SEGMENT_CELLS=2",
        ],
        deps = [_twin(dep) for dep in deps],
        **kwargs
    )

def gochan_cc_test(name, deps = [], **kwargs):
    """Declares a cc_test that fails tests which leave goroutines behind.

    Programs that link instrumented twins are plain cc_tests.

    Args:
      name: as in cc_test.
      deps: as in cc_test.
      **kwargs: passed on.
    """
    cc_test(
        name = name,
        deps = deps + ["//test/util:leak_listener"],
        **kwargs
    )
