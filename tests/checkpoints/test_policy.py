from __future__ import annotations

import pytest

from resolverd.checkpoints.access import policy
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import Rule
from resolverd.checkpoints.faults import Denied


@pytest.mark.parametrize("scheme", ["ftp", "", "gcs", "gopher"])
def test_only_the_schemes_that_are_allowed_are_fetched(scheme: str) -> None:
    with pytest.raises(Denied, match=r"fetch\.schemes"):
        policy.check_scheme(Policy(), scheme, "x")


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "::",
        "224.0.0.1",
    ],
)
def test_link_local_and_metadata_addresses_are_refused(address: str) -> None:
    with pytest.raises(Denied):
        policy.check_address(address, "x")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "93.184.216.34", "2606::1"])
def test_other_addresses_are_allowed(address: str) -> None:
    policy.check_address(address, "x")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://[fe80::1]/",
        "http://metadata.google.internal./x",
        "http:///x",
        "ftp://host/x",
    ],
)
def test_a_url_is_refused_by_its_host_as_written(url: str) -> None:
    with pytest.raises(Denied):
        policy.check_url(Policy(), url, url)


def test_files_below_an_allowed_folder_may_be_read() -> None:
    policy.check_path(Policy(file_roots=("/data", "/models")), "/models/a/b", "x")


@pytest.mark.parametrize("path", ["/database", "/etc/shadow", "/"])
def test_files_elsewhere_may_not(path: str) -> None:
    with pytest.raises(Denied, match="/data"):
        policy.check_path(Policy(file_roots=("/data",)), path, "x")


def test_a_rule_for_a_folder_holds_behind_links_too() -> None:
    rules = Policy(file_roots=None, rules=(Rule("file:///data/closed/", allow=False),))
    policy.check_path(rules, "/data/open", "x")
    with pytest.raises(Denied, match=r"fetch\.rules"):
        policy.check_path(rules, "/data/closed/a", "/data/open/link")


def test_without_folders_no_file_may_be_read() -> None:
    with pytest.raises(Denied, match="none"):
        policy.check_path(Policy(), "/data/a", "x")
