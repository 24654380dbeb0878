# Every relative link leads to a file, and to a heading in it when it names one.
use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;
use TaskEvents::Docs qw(doc_files read_file relative);

# A heading's anchor, as the usual renderers make it.
sub anchors {
    my ($text) = @_;
    my %anchors;

    $text =~ s/^```.*?^```$//gms;
    while ($text =~ /^#+ (.+)$/gm) {
        my $anchor = lc $1;
        $anchor =~ s/[^\w\- ]//g;
        $anchor =~ tr/ /-/;
        $anchors{$anchor} = 1;
    }
    return \%anchors;
}

my $links = 0;
for my $file (doc_files()) {
    my $text = read_file($file);

    (my $prose = $text) =~ s/^```.*?^```$//gms;
    while ($prose =~ /\]\(([^)\s]+)\)/g) {
        my ($path, $anchor) = split /#/, $1, 2;
        my $name = relative($file) . " -> $1";

        next if $path =~ m{^[a-z]+:};
        ++$links;
        my $target = $path eq '' ? $file : dirname($file) . "/$path";
        ok(-e $target, "$name is there");
        ok(-f $target && anchors(read_file($target))->{$anchor}, "$name has that heading")
            if defined $anchor;
    }
}
cmp_ok($links, '>', 0, 'there are links');

done_testing();
