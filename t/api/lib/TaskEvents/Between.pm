package TaskEvents::Between;

# Stands between a server and PostgreSQL, and can lose what it is told to: the
# answer to a statement that was done, or the statement itself.
#
#   my $between = TaskEvents::Between->new($dsn);   # ->dsn is what the server takes
#   $between->lose('answer', 'te_task_update');     # the next time, once; then all is well
#   $between->lose('answer', 'COMMIT', 1);          # … and hold the news of it back
#   $between->wait_lost; ...; $between->go_on;
#   $between->lose('silence', 'te_task_get');       # never answers, never ends

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes 'sleep';

sub new
{
    my ($class, $dsn, $dir) = @_;
    my %self = (dir => $dir);
    my ($host) = $dsn =~ /\bhost=(\S+)/;
    my ($port) = $dsn =~ /\bport=(\d+)/;
    return if !defined $host || $host !~ /^[\d.]+$/;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 64) or die "listen: $!";
    $self{port} = $listen->sockport;
    $self{dsn} = $dsn =~ s/\bport=\d+/port=$self{port}/r;
    my $self = bless \%self, $class;
    unlink map { "$dir/between.$_" } qw(order lost go);
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        $SIG{PIPE} = 'IGNORE';
        eval { $self->run($listen, $host, $port // 5432); 1 } or warn $@;
        POSIX::_exit(0);
    }
    $self->{pid} = $pid;
    $self->{owner} = $$;
    return $self;
}

sub dsn { $_[0]{dsn} }
sub file { "$_[0]{dir}/between.$_[1]" }

sub lose
{
    my ($self, $what, $pattern, $hold) = @_;
    unlink map { $self->file($_) } qw(lost go);
    open my $file, '>', $self->file('order.new') or die $!;
    print {$file} join "\n", $what, $pattern, $hold // 0;
    close $file;
    rename $self->file('order.new'), $self->file('order');
}

sub wait_lost { my ($self) = @_; for (1 .. 500) { return 1 if -e $self->file('lost'); sleep 0.02 } return 0 }
sub go_on { my ($self) = @_; touch($self->file('go')) }
sub touch { open my $file, '>', $_[0] or die $! }
sub DESTROY { my ($self) = @_; if ($self->{pid} && $self->{owner} == $$) { kill KILL => $self->{pid}; waitpid $self->{pid}, 0 } }

# One process, all connections; while news is held back the others wait too, except
# that nothing of it is on their way: the test's own requests go to PostgreSQL itself.
sub run
{
    my ($self, $listen, $host, $port) = @_;
    my $select = IO::Select->new($listen);
    my (%peer, %is_server, %fate);
    my $close = sub { for ($_[0], $peer{ $_[0] }) { $select->remove($_); delete $fate{$_}; close $_ } };
    while (1) {
        for my $ready ($select->can_read) {
            if ($ready == $listen) {
                my $client = $listen->accept or next;
                my $server = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port) or do { close $client; next };
                @peer{$client, $server} = ($server, $client);
                $is_server{$server} = 1;
                $select->add($client, $server);
                next;
            }
            next if !defined fileno $ready;
            if (!sysread $ready, my $bytes, 65536) { $close->($ready) }
            elsif ($is_server{$ready} && $fate{$ready}) {
                # what was asked is done when it is said to be: ReadyForQuery ends it
                if ($bytes =~ /Z\x00\x00\x00\x05[IET]\z/) { $self->lost($fate{$ready}); $close->($ready) }
            }
            elsif (!$is_server{$ready} && $fate{$ready}) { }
            else {
                my $order = $is_server{$ready} ? undef : $self->order($bytes);
                if (!$order) { syswrite $peer{$ready}, $bytes }
                elsif ($order->[0] eq 'answer') { $fate{ $peer{$ready} } = $order; syswrite $peer{$ready}, $bytes }
                elsif ($order->[0] eq 'silence') { $fate{$ready} = $order; $self->lost($order) }
                else { $self->lost($order); $close->($ready) }
            }
        }
    }
}

sub order
{
    my ($self, $bytes) = @_;
    open my $file, '<', $self->file('order') or return;
    my ($what, $pattern, $hold) = map { chomp; $_ } <$file>;
    return if index($bytes, $pattern) < 0;
    unlink $self->file('order');
    return [$what, $pattern, $hold];
}

sub lost
{
    my ($self, $order) = @_;
    touch($self->file('lost'));
    return if !$order->[2];
    for (1 .. 400) { last if -e $self->file('go'); sleep 0.01 }
}

1;
