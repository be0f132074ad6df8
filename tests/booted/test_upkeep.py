"""What goes on beside the service: cron, log rotation, manual pages."""

from tests.booted.conftest import Host

# A look that has begun and not ended would see the service on its way down.
LOOK_ENDED = "session closed for user hlposmon"
SENDMAIL = "#!/bin/sh\ncat >> /run/mail\nprintf '%s\\n' '--' >> /run/mail\n"


def test_the_cron_line_is_silent_while_all_is_well_and_mails_when_it_is_not(host: Host):
    machine = host.machine
    machine.write("/usr/sbin/sendmail", SENDMAIL, mode="755")
    machine.must("rm -f /run/mail; touch /run/mail; chmod 666 /run/mail; systemctl restart cron")
    since = machine.must("date '+%F %T'").strip()
    try:
        machine.until(
            "cron has looked once, and that look has ended",
            lambda: LOOK_ENDED in machine.journal("-t", "CRON", f"--since='{since}'"),
            within_s=130,
        )
        assert machine.read("/run/mail") == ""
        machine.must("systemctl stop hlposmon.service")
        mail = machine.until("a mail", lambda: machine.run("cat /run/mail").stdout, within_s=130)
    finally:
        machine.must("rm /usr/sbin/sendmail")

    assert "HLPOSMON CRITICAL" in mail
    assert "/run/hlposmon/hlposmon.sock" in mail


def test_logrotate_compresses_and_the_audit_stays_whole(host: Host):
    machine = host.machine
    trading = "/var/log/hlposmon/trading"
    [living] = machine.must(f"ls {trading}").split()
    machine.must("logrotate --force --verbose /etc/logrotate.d/hlposmon", timeout_s=120)
    host.venue.pace(20)
    machine.until(
        "the day goes on in a file of its own", lambda: living in machine.must(f"ls {trading}").split()
    )
    machine.must("systemctl restart hlposmon.service && hlposmon wait --ready --timeout 60", timeout_s=120)

    assert machine.must(f"ls {trading}").split() == [living, f"{living}.gz"]
    assert machine.must(f"zcat {trading}/{living}.gz | wc -l") != "0"
    host.agrees()


def test_the_manual_pages_are_found_and_render(host: Host):
    for page in ("hlposmon", "hlposmon.toml"):
        shown = host.machine.run(f"MANWIDTH=100 man --warnings {page} | cat")
        assert shown.returncode == 0, shown.stderr
        assert shown.stderr == ""
        assert "NAME" in shown.stdout
        assert len(shown.stdout.splitlines()) > 50


def test_shell_that_is_shipped_is_plain(host: Host):
    """dash, which is Debian's sh, takes the alert's program."""
    assert host.machine.must("dash -n /usr/local/lib/hlposmon/alert") == ""
