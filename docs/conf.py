"""How the documentation is built: ``make docs``."""

import re
import shutil
from pathlib import Path

import skood

HERE = Path(__file__).parent

project = "skood"
author = copyright = "The skood developers"
version = release = skood.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
nitpicky = False

# ---- pages

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]  # a function in a setting, which only makes builds whole

# Pages link to the records where they lie in the repository; here they are pages, too.
_RECORDS = HERE / "evidence" / "records"
_LINKS = {r"\]\((\.\./)*benchmarks/results/(\w+)\.md": r"](/evidence/records/\2.md",
          r"\]\(\.\./\.\./docs/": "](/"}


def copy_records(app):
    """Copy the records of the benchmarks to where Sphinx reads."""
    shutil.rmtree(_RECORDS, ignore_errors=True)
    shutil.copytree(HERE.parent / "benchmarks" / "results", _RECORDS)


def follow_links(app, docname, source):
    """Let links into the repository lead to the pages here."""
    for pattern, place in _LINKS.items():
        source[0] = re.sub(pattern, place, source[0])


def escape_shapes(app, what, name, obj, options, lines):
    """Let ``(n, *input_shape)`` and ``(n_features_in_,)`` be shapes, neither emphasis nor links."""
    for i, line in enumerate(lines):
        if "``" not in line and not line.lstrip().startswith((">>>", "...")):
            line = re.sub(r"(?<![`*\w])\*(?=\w)", r"\\*", line)
            lines[i] = re.sub(r"(?<=\w)_(?=,\))", r"\\_", line)


def setup(app):
    """Connect these."""
    app.connect("autodoc-process-docstring", escape_shapes, priority=900)
    app.connect("builder-inited", copy_records)
    app.connect("source-read", follow_links)


# ---- the reference

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False  # the template has them in full
templates_path = ["_templates"]

# ---- the gallery

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"_output|/_",
    "show_memory": False,
    "min_reported_time": 1,
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skood",),
}

# ---- how it looks

html_theme = "pydata_sphinx_theme"
html_title = "skood"
html_static_path = ["_static"]
html_css_files = ["skood.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
}
html_sidebars = {"api": [], "changes": []}
