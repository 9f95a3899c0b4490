"""What is done to a page when Sphinx has written it: each change on the markup that it is for."""

import pytest

from tools import formulas, pages


def test_icons_are_drawn_into_the_page():
    with formulas.Setter() as setter:
        made = pages.with_icons(
            '<i class="theme-switch fa-solid fa-sun   fa-lg" data-mode="light" title="Light"></i>'
            '<span class="fa-solid fa-bars"></span><i class="other"></i>',
            setter,
        )
        assert made.count("<svg") == 2 and '<i class="other"></i>' in made and "fa-" not in made
        assert 'class="svg-icon theme-switch" data-mode="light" viewBox' in made and "title" not in made
        with pytest.raises(ValueError, match="faNone"):
            pages.with_icons('<i class="fa-solid fa-none"></i>', setter)


def test_scripts_wait_and_those_of_the_theme_s_search_go():
    page = (
        '<script src="_static/documentation_options.js?v=1"></script>\n<script src="_static/doctools.js"></script>\n'
        '<script defer src="_static/scripts/fontawesome.js?digest=2"></script><script>let a</script>'
        '<script src="searchindex.js"></script><script src="_static/design-tabs.js"></script>'
        '<link rel="stylesheet" href="_static/sphinx-design.min.css?v=1" />'
    )
    made = pages.lighter(page)
    assert made == (
        '<script src="_static/documentation_options.js?v=1"></script>\n'
        '<script defer src="_static/doctools.js"></script><script>let a</script>'
    )
    assert "design-tabs" in pages.lighter(page + '<p class="sd-card">')
    assert "sphinx-design" in pages.lighter(page + '<p class="sd-card">')


def test_fonts_come_where_there_are_formulas():
    head, body = '<link rel="stylesheet" href="../_static/katex.css?v=1" />', "<body>x</body>"
    assert pages.with_fonts(head + body) == body
    with_formula = pages.with_fonts(head + '<body><span class="katex"></span></body>')
    assert with_formula.startswith(head)
    assert with_formula.endswith('<link rel="stylesheet" href="../_static/katex-fonts.css" />\n</body>')


def test_all_pictures_but_the_first_wait():
    made = pages.lazy('<img src="logo"><article><img src="a"><img src="b"><img src="data:x"><img loading="eager">')
    assert made == (
        '<img src="logo"><article><img src="a"><img loading="lazy" src="b"><img src="data:x"><img loading="eager">'
    )


def test_code_keeps_the_elements_that_have_a_colour_of_their_own():
    sheet = "".join(
        f'html[data-theme="{theme}"] .highlight {{ background: #123; color: {ground} }}\n'
        f'html[data-theme="{theme}"] .highlight .n {{ color: {ground} }} /* Name */\n'
        f'html[data-theme="{theme}"] .highlight .k {{ color: #ff0000 }}\n'
        f'html[data-theme="{theme}"] .highlight .o {{ color: {operator} }}\n'
        for theme, ground, operator in (("light", "#000", "#000"), ("dark", "#fff", "#eee"))
    )
    assert pages.plain_classes(sheet) == {"n"}
    code = '<pre><span class="n">a</span> <span class="k">if</span> <span class="n"><a>b</a></span></pre>'
    made = pages.fewer_spans(f'<span class="n">c</span>{code}', {"n"})
    assert made == '<span class="n">c</span><pre>a <span class="k">if</span> <span class="n"><a>b</a></span></pre>'


def test_the_book_s_style_sheets_become_one(tmp_path):
    for name in ("a.css", "b.css"):
        (tmp_path / name).write_text(f"p {{ content: '{name}' }}")
    version = pages.join_sheets(tmp_path, ["a.css", "b.css"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.css"]
    text = (tmp_path / "a.css").read_text()
    assert text.index("a.css") < text.index("b.css")  # as they were linked: the later one wins
    page = '<link href="_static/x.css?v=0" /><link href="_static/a.css?v=1" />\n<link href="_static/b.css?v=2" />'
    expected = f'<link href="_static/x.css?v=0" /><link href="_static/a.css?v={version}" />'
    assert pages.with_joined(page, ["a.css", "b.css"], version) == expected


def test_what_those_who_listen_to_a_page_meet():
    made = pages.mended(
        '<a class="navbar-brand logo" href="x"><img src="a" alt=" - Home"/></a><div class="citation" '
        'role="doc-biblioentry"><th class="head" role="columnheader"><p></p></th>'
        "<noscript>Please activate JavaScript.</noscript><noscript><style></style></noscript>"
    )
    assert made.startswith('<nav aria-label="Title page"><a class="navbar-brand logo" href="x"><img src="a" alt="Title')
    assert '<div class="citation"><td class="head" role="cell"></td>' in made
    assert "Please" not in made and 'href="genindex.html"' in made and made.endswith("<style></style></noscript>")


def test_a_theme_that_is_no_longer_the_same_is_an_error(tmp_path):
    sheet = tmp_path / "_static" / "styles" / "pydata-sphinx-theme.css"
    sheet.parent.mkdir(parents=True)
    sheet.write_text("p{color:red}")
    with pytest.raises(RuntimeError, match="its icons are not found"):
        pages.finish(tmp_path)
