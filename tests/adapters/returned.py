"""Mail that comes back, in the shapes of the mail servers that write it; each takes the id of the
message that it is about and whom that was for."""

from uuid import UUID

ID = UUID("01a208d2-2720-739d-a868-6b8f0d3d017d")
TO = "nina@example.net"
DOMAIN = "shop.example"


def verp(message=ID):
    return f"bounces+{message.hex}@{DOMAIN}"


def header(message=ID, to=TO):
    """The header of the letter itself."""
    return f"""\
Received: from worker.{DOMAIN} (worker.{DOMAIN} [192.0.2.7]) by relay.{DOMAIN} with ESMTP id 4F2
From: Shop <hello@{DOMAIN}>
To: {to}
Subject: Your order
Date: Thu, 26 Nov 2026 10:00:00 +0000
Message-ID: <{message}@{DOMAIN}>
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"
"""


def mail(text):
    """As it comes over the wire."""
    return text.replace("\n", "\r\n").encode()


def report(
    words,
    block,
    *,
    of="",
    message=ID,
    to=TO,
    sent_to=None,
    sender="MAILER-DAEMON@relay.shop.example (Mail Delivery System)",
    subject="Undelivered Mail Returned to Sender",
    kind="message/delivery-status",
    returned="text/rfc822-headers",
):
    """RFC 3464: words for people, a report, and what was returned."""
    return mail(f"""\
Return-Path: <>
Delivered-To: {sent_to or verp(message)}
Received: by mx.{DOMAIN} (Postfix) id 9C1; Thu, 26 Nov 2026 10:00:09 +0000 (UTC)
Date: Thu, 26 Nov 2026 10:00:09 +0000 (UTC)
From: {sender}
Subject: {subject}
To: {sent_to or verp(message)}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="9C1.1795687209/mx.{DOMAIN}"
Message-Id: <20261126100009.9C1@mx.{DOMAIN}>

This is a MIME-encapsulated message.

--9C1.1795687209/mx.{DOMAIN}
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

{words}
--9C1.1795687209/mx.{DOMAIN}
Content-Description: Delivery report
Content-Type: {kind}

Reporting-MTA: dns; mx.{DOMAIN}
{of}Arrival-Date: Thu, 26 Nov 2026 10:00:01 +0000 (UTC)

{block}
--9C1.1795687209/mx.{DOMAIN}
Content-Description: Undelivered Message Headers
Content-Type: {returned}

{header(message, to)}
--9C1.1795687209/mx.{DOMAIN}--
""")


def postfix(message=ID, to=TO, *, action="failed", status="5.1.1", reply=None, **more):
    """Postfix, of what another server refused."""
    reply = reply or f"550 {status} <{to}>: Recipient address rejected: User unknown"
    words = f"""\
This is the mail system at host mx.{DOMAIN}.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

<{to}>: host mx.example.net[192.0.2.25] said: {reply}
    (in reply to RCPT TO command)
"""
    block = f"""\
Final-Recipient: rfc822; {to}
Original-Recipient: rfc822;{to}
Action: {action}
Status: {status}
Remote-MTA: dns; mx.example.net
Diagnostic-Code: smtp; {reply}
"""
    return report(words, block, message=message, to=to, **more)


def postfix_gave_up(message=ID, to=TO, *, action="failed"):
    words = f"""\
This is the mail system at host mx.{DOMAIN}.

<{to}>: connect to mx.example.net[192.0.2.25]:25: Connection timed out
"""
    block = f"""\
Final-Recipient: rfc822; {to}
Original-Recipient: rfc822;{to}
Action: {action}
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to mx.example.net[192.0.2.25]:25:
    Connection timed out
"""
    return report(words, block, message=message, to=to)


def exim(message=ID, to=TO):
    """Exim 4.9, of an address that it cannot route: the reason is in the words alone."""
    words = f"""\
This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  {to}
    Unrouteable address
"""
    block = f"""\
Action: failed
Final-Recipient: rfc822;{to}
Status: 5.0.0
"""
    sender = "Mail Delivery System <Mailer-Daemon@mx.shop.example>"
    subject = "Mail delivery failed: returning message to sender"
    return report(words, block, message=message, to=to, sender=sender, subject=subject)


def exim_of_old(message=ID, to=TO, *, reason="Unrouteable address"):
    """Exim before 4.7: no report, and the whole message behind the words."""
    return mail(f"""\
X-Failed-Recipients: {to}
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mx.example.net>
To: {verp(message)}
Subject: Mail delivery failed: returning message to sender
Message-Id: <E1r7abc-0001@mx.example.net>
Date: Thu, 26 Nov 2026 10:00:09 +0000

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  {to}
    {reason}

------ This is a copy of the message, including all the headers. ------

Return-path: <{verp(message)}>
{header(message, to)}
Your code is 421421, and 550 5.1.1 is only what we sell.
""")


def exchange(message=ID, to=TO, *, status="5.1.10", reason="RESOLVER.ADR.RecipientNotFound; no"):
    """Exchange Online: nothing for programs in the words, which are HTML."""
    domain = to.rpartition("@")[2]
    return mail(f"""\
From: <postmaster@outlook.example>
To: <{verp(message)}>
Date: Thu, 26 Nov 2026 10:00:09 +0000
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
 boundary="b3a0c1d8-0f5f-4f6b"
X-MS-Exchange-Message-Is-Ndr:
Content-Language: en-US
Message-ID: <f9c2@AM0PR01MB1234.eurprd01.prod.exchangelabs.example>
In-Reply-To: <{message}@{DOMAIN}>
Subject: Undeliverable: Your order

--b3a0c1d8-0f5f-4f6b
Content-Type: multipart/alternative; differences=Content-Type;
 boundary="0c5e-2d"

--0c5e-2d
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

Delivery has failed to these recipients or groups:

{to}<mailto:{to}>
The email address you entered couldn't be found. Please check the recipient=
's email address and try to resend the message.

--0c5e-2d
Content-Type: text/html; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

<html><body><p>Delivery has failed to these recipients or groups:</p></body></html>

--0c5e-2d--

--b3a0c1d8-0f5f-4f6b
Content-Type: message/delivery-status

Reporting-MTA: dns;AM0PR01MB1234.eurprd01.prod.exchangelabs.example
Received-From-MTA: dns;relay.{DOMAIN}
Arrival-Date: Thu, 26 Nov 2026 10:00:03 +0000

Final-Recipient: rfc822;{to}
Action: failed
Status: {status}
Diagnostic-Code: smtp;550 {status} {reason} at {domain}
X-Display-Name: {to}

--b3a0c1d8-0f5f-4f6b
Content-Type: message/rfc822

{header(message, to)}
Hello

--b3a0c1d8-0f5f-4f6b--
""")


def gmail(message=ID, to=TO):
    """Gmail: a reply of many lines, and related parts around the words."""
    return mail(f"""\
Return-Path: <>
Auto-Submitted: auto-replied
From: Mail Delivery Subsystem <mailer-daemon@googlemail.example>
To: {verp(message)}
Subject: Delivery Status Notification (Failure)
References: <{message}@{DOMAIN}>
In-Reply-To: <{message}@{DOMAIN}>
X-Failed-Recipients: {to}
Content-Type: multipart/report; boundary="0000000000006"; report-type=delivery-status
Date: Thu, 26 Nov 2026 02:00:09 -0800 (PST)

--0000000000006
Content-Type: multipart/related; boundary="0000000000007"

--0000000000007
Content-Type: multipart/alternative; boundary="0000000000008"

--0000000000008
Content-Type: text/plain; charset="UTF-8"


** Address not found **

Your message wasn't delivered to {to} because the address couldn't be found.

--0000000000008--
--0000000000007
Content-Type: image/png; name="icon.png"
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--0000000000007--
--0000000000006
Content-Type: message/delivery-status

Reporting-MTA: dns; googlemail.example
Arrival-Date: Thu, 26 Nov 2026 02:00:08 -0800 (PST)
X-Original-Message-ID: <{message}@{DOMAIN}>

Final-Recipient: rfc822; {to}
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.net. (192.0.2.25, the server for the domain.)
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Try
 550-5.1.1 double-checking the recipient's email address for typos or
 550 5.1.1 unnecessary spaces. r12-20020a5d gsmtp
Last-Attempt-Date: Thu, 26 Nov 2026 02:00:09 -0800 (PST)

--0000000000006
Content-Type: message/rfc822

{header(message, to)}
Hello

--0000000000006--
""")


def qmail(message=ID, to=TO, *, reason="Sorry, no mailbox here by that name. (#5.1.1)"):
    return mail(f"""\
Return-Path: <>
Delivered-To: {verp(message)}
From: MAILER-DAEMON@example.net
To: {verp(message)}
Subject: failure notice
Date: 26 Nov 2026 10:00:09 -0000

Hi. This is the qmail-send program at example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<{to}>:
{reason}

--- Below this line is a copy of the message.

Return-Path: <{verp(message)}>
{header(message, to)}
Hello
""")


def complaint(message=ID, to=TO, *, kind="abuse", mail_from=True, redacted=True):
    """RFC 5965, as Yahoo and AOL send it to the address of a feedback loop."""
    of = f"Original-Mail-From: <{verp(message)}>\n" if mail_from else ""
    return mail(f"""\
From: "Complaints" <feedback@arf.mail.example>
To: fbl@{DOMAIN}
Subject: FW: Your order
Date: Thu, 26 Nov 2026 11:00:00 -0000
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report;
 boundary="feedback_part_boundary"

--feedback_part_boundary
Content-Type: text/plain; charset="US-ASCII"
Content-Transfer-Encoding: 7bit

This is an email abuse report for an email message received from {DOMAIN}

--feedback_part_boundary
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: Mail.example-Feedback/1.0
Version: 0.1
{of}Original-Rcpt-To: {"redacted" if redacted else to}
Received-Date: Thu, 26 Nov 2026 10:00:05 -0000
Reported-Domain: {DOMAIN}

--feedback_part_boundary
Content-Type: message/rfc822
Content-Disposition: inline

{header(message, "redacted@example.net" if redacted else to)}
Hello

--feedback_part_boundary--
""")


def out_of_office(message=ID, to=TO):
    """Exchange's: from the recipient, with a null return path as bounces have it."""
    return mail(f"""\
Return-Path: <>
From: Nina <{to}>
To: {verp(message)}
Subject: Automatic reply: Your order
Auto-Submitted: auto-generated
X-Auto-Response-Suppress: All
In-Reply-To: <{message}@{DOMAIN}>
Precedence: bulk
Content-Type: text/plain; charset="utf-8"

I am out of the office and will not read this. If it is urgent, dial 550 5.1.1.
The mailbox support@example.net does not exist any more.
""")


def challenge(message=ID, to=TO):
    return mail(f"""\
From: {to}
To: {verp(message)}
Subject: Please confirm your message
Auto-Submitted: auto-replied

Your message could not be delivered yet: confirm that you are a person by a reply to this mail.
""")


def read_receipt(message=ID, to=TO):
    return mail(f"""\
From: Nina <{to}>
To: {verp(message)}
Subject: Read: Your order
Content-Type: multipart/report; report-type=disposition-notification; boundary=mdn

--mdn
Content-Type: text/plain

Your message was displayed.

--mdn
Content-Type: message/disposition-notification

Final-Recipient: rfc822;{to}
Original-Message-ID: <{message}@{DOMAIN}>
Disposition: manual-action/MDN-sent-manually; displayed

--mdn--
""")
