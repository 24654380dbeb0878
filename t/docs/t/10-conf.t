# Every file in conf/ is one that httpd takes, as it is and with everything in
# it switched on.
use strict;
use warnings;

use Test::More;
use TaskEvents::Docs qw(conf_files filled_in httpd_says read_file relative);

for my $file (conf_files()) {
    my $conf = filled_in(read_file($file));
    my ($status, $said) = httpd_says($conf);

    is($status, 0, relative($file) . ' is taken') or diag($said);
    unlike($said, qr/TE\d{4}|AH\d+|warn/i, relative($file) . ' is taken without a word')
        or diag($said);

    $conf =~ s/^(\s*)#(?=[A-Z])/$1/gm;
    ($status, $said) = httpd_says($conf);
    is($status, 0, relative($file) . ' is taken with all of it switched on') or diag($said);
}

done_testing();
