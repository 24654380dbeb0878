#!/usr/bin/env perl
# One version, wherever it is written: a package that calls itself something else
# than the module in it is worse than none.
use strict;
use warnings;

my $src = $ENV{TASKEVENTS_SRC} // '.';
my ($version) = slurp('configure.ac') =~ /^AC_INIT\(\[mod_taskevents\], \[([^\]]+)\]\)/m
    or die "configure.ac has no version\n";
my %says = (
    'CHANGES' => qr/\AChanges with mod_taskevents (\S+)$/m,
    'debian/changelog' => qr/\Amod-taskevents \((\S+)\)/,
    'packaging/rpm/mod_taskevents.spec' => qr/^Version:\s+(\S+)$/m,
    'packaging/rpm/mod_taskevents.spec (%changelog)' => qr/^%changelog\n\* .* - (\S+)-\d+$/m,
    'packaging/man/mod_taskevents.8' => qr/^\.TH .*"mod_taskevents (\S+)"/m,
    'packaging/man/taskevents-migrate.8' => qr/^\.TH .*"mod_taskevents (\S+)"/m,
);
my @wrong;
for my $where (sort keys %says) {
    my ($said) = slurp($where =~ s/ .*//r) =~ $says{$where};
    push @wrong, sprintf "%s says %s, configure.ac %s\n", $where, $said // 'no version', $version
        if ($said // '') ne $version;
}
die @wrong if @wrong;
printf "%s in %d places\n", $version, 1 + keys %says;

sub slurp
{
    open my $fh, '<', "$src/$_[0]" or die "$_[0]: $!\n";
    local $/;
    return scalar <$fh>;
}
