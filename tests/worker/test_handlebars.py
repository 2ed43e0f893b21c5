"""Handlebars as Pinpoint documents it: every helper, its blocks, its paths."""

import re
from datetime import UTC, datetime

import pytest

from adapters.contract import ChannelType
from worker import wire
from worker.render import Unrenderable, render

ATTRIBUTES = {
    "Address": "+15550100200",
    "Attributes.Empty": [],
    "Attributes.Flag": ["true"],
    "Attributes.Html": ["<b>R&D</b>"],
    "Attributes.Interests": ["books", "films", "chess"],
    "Attributes.Many": [str(number) for number in range(20)],
    "Attributes.Order Date": ["2026-03-05T14:07:09+00:00"],
    "Attributes.Price": ["10.5"],
    "Attributes.Zip": ["007"],
    "Metrics.visits": 3.0,
    "User.UserAttributes.FirstName": ["Alejandro"],
    "User.UserAttributes.Last Name": ["Rosalez"],
    "User.UserAttributes.UserAge": ["9"],
    "User.UserId": "user-1",
}
NOW = datetime(2026, 11, 3, 9, 8, 7, tzinfo=UTC)


def rendered(text, substitutions=None, **options):
    message = {"MessageConfiguration": {"SMSMessage": {"Body": f"<{text}>"}}}
    entry = wire.EndpointSendConfiguration(Substitutions=substitutions)
    request = wire.convert(message, wire.MessageRequest)
    sent = render(ChannelType.SMS, request, entry, ATTRIBUTES, now=lambda: NOW, **options)
    return sent.body[1:-1]


def refused(text, **options):
    with pytest.raises(Unrenderable) as error:
        rendered(text, **options)
    return error.value.code, error.value.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # strings
        ("{{abbreviate User.UserAttributes.FirstName.[0] 6}}", "Ale..."),
        ("{{abbreviate User.UserAttributes.FirstName.[0] 9}}", "Alejandro"),
        ("{{capitalize 'hello big world'}}", "Hello Big World"),
        ("{{capitalize 'hELLO wORLD' fully=true}}", "Hello World"),
        ("{{capitalizeFirst 'hello world'}}", "Hello world"),
        ("{{center 'Sofia' size=11}}", "   Sofia   "),
        ('{{center "Sofia" size=10 pad="*"}}', "**Sofia***"),
        ("{{cut 'a b c'}}", "abc"),
        ('{{cut User.UserAttributes.[Last Name].[0] "e"}}', "Rosalz"),
        ("{{inflect 1 'message' 'messages'}}", "message"),
        ("{{inflect 0 'message' 'messages'}}", "messages"),
        ("{{inflect '4' 'message' 'messages' true}}", "4 messages"),
        ("{{inflect 4 'message' 'messages' includeCount=true}}", "4 messages"),
        ('{{join Attributes.Interests ", "}}', "books, films, chess"),
        ('{{join Attributes.Interests " & " prefix="<" suffix=">"}}', "<books & films & chess>"),
        ('{{join "a" "b" "/"}}', "a/b"),
        ("{{ljust 'Sofia' 8}}|", "Sofia   |"),
        ("{{ljust 'Sofia' size=8 pad='+'}}", "Sofia+++"),
        ("{{lower User.UserAttributes.FirstName.[0]}}", "alejandro"),
        ("{{ordinalize 1}} {{ordinalize 12}} {{ordinalize 22}} {{ordinalize '103'}}",
         "1st 12th 22nd 103rd"),
        ('{{replace "Hi NAME, NAME" "NAME" User.UserId}}', "Hi user-1, user-1"),
        ("{{rjust 'Sofia' 8}}", "   Sofia"),
        ("{{rjust 'Sofia' size=8 pad='ab'}}", "abaSofia"),
        ("{{slugify ' This is my Title! '}}", "this-is-my-title"),
        ("{{stripTags Attributes.Html}}", "R&D"),
        ("{{substring User.UserAttributes.FirstName.[0] 3}}", "jandro"),
        ("{{substring User.UserAttributes.FirstName.[0] 1 5}}", "leja"),
        ("{{substring 'abc' 2 99}}", "c"),
        ("{{upper User.UserAttributes.FirstName}}", "ALEJANDRO"),
        ("{{yesno Attributes.Flag}} {{yesno 'false'}} {{yesno Attributes.Nothing}}",
         "yes no maybe"),
        ("{{yesno Attributes.Flag 'y' 'n' 'm'}} {{yesno false yes='y' no='n'}}", "y n"),
        # numbers
        ("{{add 7 3}} {{add '0.1' '0.2'}} {{add Metrics.visits -5}}", "10 0.3 -2"),
        ("{{subtract 7 3}} {{subtract 0 Attributes.Price}}", "4 -10.5"),
        ("{{multiply 7 3}} {{multiply Attributes.Price 2}}", "21 21"),
        ("{{divide 7 2}} {{divide 6 3}}", "3.5 2"),
        ("{{modulo 7 3}} {{modulo -7 3}}", "1 -1"),
        ("{{ceiling 3.2}} {{ceiling -3.2}}", "4 -3"),
        ("{{floor 3.8}} {{floor -3.8}}", "3 -4"),
        ("{{round 3.5}} {{round 3.4}} {{round -3.5}}", "4 3 -3"),
        # encodings
        ("{{encode64 'Hello World'}}", "SGVsbG8gV29ybGQ="),
        ("{{decode64 'SGVsbG8gV29ybGQ='}}", "Hello World"),
        ('{{md5 "Hello World"}}', "b10a8db164e0754105b7a99be72e3fe5"),
        ('{{sha256 "Hello World"}}',
         "a591a6d40bf420404a011733cfb7b190d62c65bf0bcda32b57b277d9ad9f146e"),
        ('{{sha512 "Hello World"}}',
         ("2c74fd17edafd80e8447b0d46741ee243b7eb74dd2149a0ab1b9246fb30382f27e853d8585719e0e67cbda0daa"
         "8f51671064615d645ae27acb15bfb1447f459b")),
    ],
)  # fmt: skip
def test_helpers(text, expected):
    assert rendered(text) == expected


def test_uuid():
    text = rendered("{{uuid}} {{uuid}}")
    first, second = text.split()
    assert re.fullmatch(
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first
    )
    assert first != second


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{now}}", "Nov 3, 2026"),
        ("{{now 'full'}}", "Tuesday, November 3, 2026"),
        ("{{now 'yyyy-MM-dd HH:mm:ss'}}", "2026-11-03 09:08:07"),
        ("{{now 'HH:mm z' tz='Europe/Berlin'}}", "10:08 CET"),
        ("{{now 'h:mm a XXX' 'America/New_York'}}", "4:08 AM -05:00"),
        ("{{dateFormat '2026-03-05'}}", "Mar 5, 2026"),
        ("{{dateFormat Attributes.[Order Date].[0] 'long'}}", "March 5, 2026"),
        ("{{dateFormat Attributes.[Order Date] 'short'}}", "3/5/26"),
        ("{{dateFormat Attributes.[Order Date] outputFormat='MMMM dd'}}", "March 05"),
        ("{{dateFormat Attributes.[Order Date] \"EEE, d MMM yyyy 'at' h 'o''clock'\"}}",
         "Thu, 5 Mar 2026 at 2 o'clock"),
        ("{{dateFormat '03/05/2026' 'MM/dd/yyyy' 'dd.MM.yy'}}", "05.03.26"),
        (("{{dateFormat '5.3.2026 23:30' inputFormat='d.M.yyyy HH:mm' outputFormat='d HH' "
         "tz='Asia/Tokyo'}}"), "6 08"),
        ("{{dateFormat '1700000000000' 'yyyy-MM-dd'}}", "2023-11-14"),
        ("{{dateFormat Attributes.Nothing 'full'}}", ""),
        ("{{now 'D u k K S Z X E'}}", "307 2 9 9 0 +0000 Z Tue"),
    ],
)  # fmt: skip
def test_dates(text, expected):
    assert rendered(text) == expected


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('gt User.UserAttributes.UserAge.[0] "17"', False),  # as numbers: "9" > "17" as texts
        ('lt User.UserAttributes.UserAge.[0] "17"', True),
        ('gte "9" User.UserAttributes.UserAge', True),
        ('lte "9.5" "9.50"', True),
        ('gt "b" "a"', True),
        ("gt Attributes.Nothing 1", False),
        ('eq User.UserId "user-1"', True),
        ('eq Attributes.Zip.[0] "7"', True),
        ('neq User.UserId "user-2"', True),
        ("eq Attributes.Nothing Attributes.Empty", True),
        ("and User.UserId Attributes.Flag", True),
        ("and User.UserId Attributes.Nothing Attributes.Flag", False),
        ("or Attributes.Nothing Attributes.Empty", False),
        ("or Attributes.Nothing User.UserId", True),
        ("not Attributes.Nothing", True),
        ("not User.UserId", False),
    ],
)
def test_conditions_inline_as_blocks_and_nested(condition, holds):
    name = condition.split()[0]
    wanted = "y" if holds else "n"
    assert rendered(f"{{{{{condition} yes='y' no='n'}}}}") == wanted
    assert rendered(f"{{{{#{condition}}}}}y{{{{else}}}}n{{{{/{name}}}}}") == wanted
    assert rendered(f"{{{{#if ({condition})}}}}y{{{{else}}}}n{{{{/if}}}}") == wanted
    assert rendered(f"{{{{{condition}}}}}") == str(holds).lower()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{#if User.UserId}}y{{/if}}", "y"),
        ("{{#if Attributes.Empty}}y{{else}}n{{/if}}", "n"),
        ("{{#unless Attributes.Nothing}}y{{/unless}}", "y"),
        ("{{^Attributes.Nothing}}y{{/Attributes.Nothing}}", "y"),
        ('{{#if Attributes.Nothing}}a{{else if (eq "1" "1")}}b{{else}}c{{/if}}', "b"),
        ('{{#if Attributes.Nothing}}a{{else eq "1" "2"}}b{{else}}c{{/if}}', "c"),
        ("{{#each Attributes.Interests}}{{@index}}:{{this}} {{/each}}", "0:books 1:films 2:chess "),
        ("{{#each Attributes.Interests}}{{#if @first}}{{else}}, {{/if}}{{.}}{{/each}}",
         "books, films, chess"),
        ("{{#each Attributes.Interests}}{{this}}{{#unless @last}}-{{/unless}}{{/each}}",
         "books-films-chess"),
        ("{{#each Attributes.Empty}}x{{else}}none{{/each}}", "none"),
        ("{{#each Attributes.Nothing}}x{{else}}none{{/each}}", "none"),
        ("{{#each Attributes.Many}}{{this}} {{/each}}", "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 "),
        ("{{#each Attributes.Interests}}{{upper this}}{{User.UserId}}{{/each}}",
         "BOOKSuser-1FILMSuser-1CHESSuser-1"),
        ("{{#each Attributes.Interests}}{{#each Attributes.Flag}}{{../this}}{{/each}}{{/each}}",
         "booksfilmschess"),
        ('{{#* inline "sign"}}Yours, {{User.UserId}}{{/inline}}A {{> sign}} B {{> sign}}',
         "A Yours, user-1 B Yours, user-1"),
        (('{{#*inline "n"}}{{greeting}} {{this}}{{/inline}}'
         '{{#each Attributes.Interests}}{{> n greeting="Hi"}}.{{/each}}'),
         "Hi books.Hi films.Hi chess."),
        ("{{capitalizeFirst (lower (abbreviate User.UserAttributes.FirstName.[0] 6))}}", "Ale..."),
        ("{{multiply (add 1 2) (subtract 5 3)}}", "6"),
        ("{{User.UserAttributes.[Last Name].[0]}}", "Rosalez"),
        ("{{lower User.UserAttributes.[Last Name].[0]}}", "rosalez"),
        ("{{Attributes.Interests.[1]}} {{upper Attributes.Interests.[1]}}", "films FILMS"),
        ("{{lower Attributes.Interests.[9]}}", ""),
        ("a{{! comment }}b{{!-- }} --}}c", "abc"),
        ("a {{~ User.UserId ~}} b", "auser-1b"),
        ("a {{~#if User.UserId~}} b {{~/if~}} c", "abc"),
        (r"\{{upper x}} {{upper 'x'}}", "{{upper x}} X"),
        ("{{{upper 'x'}}} {{&User.UserId}}", "X user-1"),
        ("{{ upper\n 'x' }}", "X"),
        ("{{upper '}}'}}", "}}"),
        ("{{lower User.UserId}}}", "user-1}"),
    ],
)  # fmt: skip
def test_blocks_paths_and_the_rest(text, expected):
    assert rendered(text) == expected


def test_a_variable_wins_over_a_helper_that_takes_nothing():
    assert rendered("{{now}} {{upper}}", {"now": ["later"], "upper": ["x"]}) == "later x"


def test_values_are_never_templates():
    assert rendered("{{lower x}}{{#if x}}{{x}}{{/if}}", {"x": ["{{Address}}"]}) == (
        "{{address}}{{Address}}"
    )


def test_html_is_escaped_in_html_parts_only():
    simple = {name: {"Data": "{{x}} {{{x}}} {{upper x}}"} for name in ("HtmlPart", "TextPart")}
    request = wire.convert(
        {"MessageConfiguration": {"EmailMessage": {"SimpleEmail": simple}}}, wire.MessageRequest
    )
    entry = wire.EndpointSendConfiguration(Substitutions={"x": ["<a>"]})
    sent = render(ChannelType.EMAIL, request, entry)
    assert sent.text.data == "<a> <a> <A>"
    assert sent.html.data == "&lt;a&gt; <a> &lt;A&gt;"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{nonsense x}}", "{{nonsense}} cannot be rendered: there is no such helper"),
        ("{{#with x}}{{/with}}", "{{#with}} cannot be rendered: there is no such helper"),
        ("{{upper (nonsense)}}", "{{nonsense}} cannot be rendered: there is no such helper"),
        ("{{> part}}", "There is no partial {{> part}}"),
        ("{{#if x}}", "The text is not valid Handlebars: {{#if}} is not closed, at character 10"),
        ("{{#if x}}{{/each}}",
         "The text is not valid Handlebars: {{/each}} closes nothing, at character 19"),
        ("{{/}}", "The text is not valid Handlebars: a name is missing, at character 6"),
        ("{{else}} {{lower x}}",
         "The text is not valid Handlebars: {{else}} stands outside of a block, at character 7"),
        ("{{", "The text is not valid Handlebars: a tag cannot be read, at character 4"),
        ("{{!", "The text is not valid Handlebars: a comment is not closed, at character 3"),
        ("{{upper 'x}}", "The text is not valid Handlebars: a tag cannot be read, at character 8"),
        ("{{{upper x}}", "The text is not valid Handlebars: }}} is missing, at character 13"),
        ("{{#if}}{{/if}}", "{{if}} cannot be rendered: an argument is missing"),
        ("{{#each}}{{/each}}", "{{#each}} cannot be rendered: it takes one argument"),
        ("{{eq 1}}", "{{eq}} cannot be rendered: an argument is missing"),
        ("{{lower a=1}}", "{{lower}} cannot be rendered: an argument is missing"),
        ("{{add 1 Address.x}}", "{{add}} cannot be rendered: a value is not a number"),
        ("{{divide 1 0}}", "{{divide}} cannot be rendered: there is no such number"),
        ("{{abbreviate 'abcde' 3}}",
         "{{abbreviate}} cannot be rendered: width must be at least 4"),
        ("{{decode64 'abcde'}}", "{{decode64}} cannot be rendered: the value is not base64"),
        ("{{dateFormat 'soon'}}", "dateFormat: the value is not a date in that format"),
        ("{{now 'bogus'}}", "A date's format is not one of SimpleDateFormat"),
        ("{{now tz='Mars/Base'}}", "A date's time zone is unknown"),
        ("{{dateFormat '0001-01-01' tz='US/Eastern'}}", "A date is not one in that time zone"),
        ("{{now tz='../../etc/passwd'}}", "A date's time zone is unknown"),
        ("{{dateFormat '1' inputFormat='z'}}",
         "A date's inputFormat is not one that can be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered(text, what):
    assert refused(text) == (400, what)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hi {{Attributes.Nothing}}", "Attributes.Nothing"),
        ("{{upper Attributes.Nothing}}", "Attributes.Nothing"),
        ("{{#if true}}{{nobody.[0]}}{{/if}}", "nobody.[0]"),
        ("{{Attributes.Nothing}} {{upper 'x'}}", "Attributes.Nothing"),
    ],
)
def test_strictly_a_variable_without_a_value_is_an_error(text, name):
    assert rendered(text).strip() in {"Hi", "", "X"}
    assert refused(text, strict=True) == (
        400,
        f"A variable of the message has no value: {{{{{name}}}}}",
    )


def test_strictly_a_condition_may_ask_for_what_has_no_value():
    text = "{{#if Attributes.Nothing}}{{Attributes.Nothing}}{{else}}n{{/if}}{{yesno nobody}}"
    assert rendered(text, strict=True) == "nmaybe"
    assert rendered("{{#each nobody}}{{else}}-{{/each}}", strict=True) == "-"
