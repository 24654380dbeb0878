package TaskEvents::Secrets;

# What the server's configuration and the tests must both know.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(TOKEN_KEY APP_TOKEN PASSWORD BASIC_USERS);

use constant TOKEN_KEY => 'a key of the test suite, thirty-two bytes or more';   # also in extra.conf.in
use constant APP_TOKEN => 'the-sidecar-token-of-the-test-suite';
use constant PASSWORD => 'open sesame';
use constant BASIC_USERS => qw(alice bob);

1;
