"""What docker/httpd.conf says, as far as others have to agree with it."""
import re

from manifests import read

TEXT = "\n".join(line for line in read("docker/httpd.conf").splitlines()
                 if not line.lstrip().startswith("#"))


def values(directive, text=TEXT):
    return re.findall(rf"^\s*{directive}\s+(.*?)\s*$", text, re.M)


def value(directive):
    found, = values(directive)
    return found


def host(address):
    """The <VirtualHost> of that address."""
    return re.search(rf"<VirtualHost {re.escape(address)}>(.*?)</VirtualHost>", TEXT, re.S)[1]


def places(address):
    """Its sections: path (or pattern) -> handler and whether it is open."""
    found = {}
    for _, name, body in re.findall(r"<(Location|LocationMatch) \"(.*?)\">(.*?)</\1>",
                                    host(address), re.S):
        found[name] = (values("SetHandler", body), values("Require", body))
    return found


def variables():
    """${NAME} of every file of the image's configuration."""
    text = "".join(read("docker", name) for name in
                   ("httpd.conf", "auth-jwks.conf", "auth-shared-key.conf"))
    return set(re.findall(r"\$\{(\w+)\}", text))
